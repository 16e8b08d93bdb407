-- What an operator may do to a job that waits or has failed; a running job is left alone.
-- Arguments: verb, id, now as text, one more word by verb:
--   hold; release; snooze (seconds by Unix time); cancel; move (queue); requeue (1 for the head of the queue).
-- Answer: 1 done, 0 not in a place where the verb makes sense.
local verb, id, now_text, word = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local key, now = job_key(ARGV[3]), clock()
local status, queue, held = unpack(redis.call('HMGET', key, 'status', 'origin', 'held'))
if not status or not queue then return 0 end

local function to_queue(name, at_front)
  redis.call('HSET', key, 'status', 'queued', 'enqueued_at', now_text)
  redis.call('HDEL', key, 'held', 'held_due')
  push(name, id, at_front)
end

local function schedule(name, due)
  redis.call('HSET', key, 'status', 'scheduled')
  redis.call('HDEL', key, 'held', 'held_due')
  redis.call('SADD', P .. ':queues', queue_key(name))
  redis.call('ZADD', registry('scheduled', name), due, id)
end

if verb == 'requeue' then
  if redis.call('ZREM', registry('failed', queue), id) == 0 and redis.call('ZREM', registry('canceled', queue), id) == 0
  then return 0 end
  redis.call('PERSIST', key)
  redis.call('HDEL', key, 'losses', 'lost_at', 'exc_info')
  redis.call('HSET', key, 'started_at', '', 'ended_at', '')
  to_queue(queue, word == '1')
  return 1
end
if verb == 'release' and not held then return 0 end
if verb == 'hold' and status == 'deferred' then return 0 end
local place, score = pull(id, queue, status)
if not place then return 0 end
if verb == 'hold' then
  redis.call('HSET', key, 'status', 'deferred', 'held', 'job', 'held_due', score or '')
  redis.call('ZADD', registry('deferred', queue), precise(now), id)
elseif verb == 'release' then
  local due = tonumber(redis.call('HGET', key, 'held_due') or '')
  if due and due > now then schedule(queue, due) else to_queue(queue, true) end
elseif verb == 'snooze' then
  schedule(queue, word)
elseif verb == 'cancel' then
  redis.call('HSET', key, 'status', 'canceled', 'ended_at', now_text)
  redis.call('ZADD', registry('canceled', queue), precise(now), id)
elseif verb == 'move' then
  redis.call('HSET', key, 'origin', word)
  if place == 'queued' then
    push(word, id, false)
  else
    redis.call('SADD', P .. ':queues', queue_key(word))
    redis.call('ZADD', registry(place, word), score, id)
  end
end
return 1
