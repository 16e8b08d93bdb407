-- What an operator may do to jobs that wait or have ended; a running job is left alone.
-- Arguments: verb, now as text, one more word by verb, the time as text before which a job has to have been enqueued
--   or '', how far from the end of their queue the jobs stand or '' for anywhere, the hash and the field in which to
--   count the jobs it was done to or '' and '', then the ids of the jobs. The word:
--   hold; release; snooze (seconds by Unix time); cancel; move (queue); run and run_first, what waits for a time to the
--   end or the head of its queue; requeue and requeue_first, likewise what has ended (JSON: `retries`, how many each task
--   has, and `unique`, the key of each job of a unique task); free (the key that a job of a unique task holds).
-- Answer: how many jobs it was done to; the others were not in a place where the verb makes sense.
-- A job that waits for others may be moved and cancelled. Once they all have ended, or are gone, it may be released, run
-- or snoozed, and waits for them no longer. A cancelled one that is put back waits for those that have not ended.
local verb, now_text, word, before, distance = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6] or '')
local tally, field = ARGV[7], ARGV[8]
local FIRST, WEEK = 9, 604800
local now = clock()
local is_requeue = verb:sub(1, 7) == 'requeue'
local detail = is_requeue and word ~= '' and cjson.decode(word) or {}
local retries, unique = detail.retries or {}, detail.unique or {}

local function take_out(id, queue, status)
  if distance and status == 'queued' and strike(id, queue, distance) then return 'queued' end
  return pull(id, queue, status)
end

local function to_queue(key, id, name, at_front)
  call('HSET', key, 'status', 'queued', 'enqueued_at', now_text)
  call('HDEL', key, 'held', 'held_due')
  push(name, id, at_front)
end

local function schedule(key, id, name, due)
  call('HSET', key, 'status', 'scheduled')
  call('HDEL', key, 'held', 'held_due')
  call('SADD', P .. ':queues', queue_key(name))
  call('ZADD', registry('scheduled', name), due, id)
end

-- One with a rate limit only becomes due: the forwarder has rq's own code ask for its permit.
local function run(key, id, queue)
  local limit, ttl = unpack(call('HMGET', key, 'rate_limit_key', 'ttl'))
  if limit and limit ~= '' then return call('ZADD', registry('scheduled', queue), 'XX', 'CH', precise(now), id) == 1 end
  if call('ZREM', registry('scheduled', queue), id) == 0 then return false end
  if tonumber(ttl or '') then call('EXPIRE', key, ttl) end
  to_queue(key, id, queue, verb == 'run_first')
  return true
end

-- Back among the jobs that wait for others; false where all of those have ended.
local function wait_again(key, id, queue)
  if not waits_for_others(id) then return false end
  for _, other in ipairs(call('SMEMBERS', dependencies_key(id))) do
    if is_pending(other) then call('SADD', job_key(other) .. ':dependents', id) end
  end
  call('HSET', key, 'status', 'deferred')
  call('HDEL', key, 'held', 'held_due')
  call('ZADD', registry('deferred', queue), precise(now), id)
  return true
end

local function requeue(key, id, queue, task)
  local mine = unique[id]
  if mine and pending_under(mine) then return false end
  if call('ZREM', registry('failed', queue), id) == 0 and call('ZREM', registry('canceled', queue), id) == 0
  then return false end
  call('PERSIST', key)
  call('HDEL', key, 'losses', 'lost_at', 'exc_info')
  call('HSET', key, 'started_at', '', 'ended_at', '')
  if retries[task] then call('HSET', key, 'retries_left', retries[task]) end
  if mine then take_key(mine, id) end
  if not wait_again(key, id, queue) then
    let_go(id)
    to_queue(key, id, queue, verb == 'requeue_first')
  end
  return true
end

-- Let another job be enqueued under the key of this one, wherever it waits or runs.
local function free(id)
  if call('GET', KEY.UNIQUE .. word) ~= id then return false end
  call('ZREM', KEY.UNIQUES, word)
  return call('DEL', KEY.UNIQUE .. word) == 1
end

local function act(id)
  if verb == 'free' then return free(id) end
  local key = job_key(id)
  local status, queue, held, enqueued_at, task = unpack(call('HMGET', key, 'status', 'origin', 'held', 'enqueued_at',
    'task'))
  if not status or not queue then return false end
  -- Both times are UTC and of one format, so that they compare as text.
  if before ~= '' and enqueued_at and enqueued_at >= before then return false end
  if is_requeue then return requeue(key, id, queue, task or '') end
  local depends = status == 'deferred' and not held
  if depends and verb ~= 'move' and verb ~= 'cancel' and waits_for_others(id) then return false end
  if (verb == 'run' or verb == 'run_first') and not depends then return status == 'scheduled' and run(key, id, queue) end
  if verb == 'release' and not held and not depends then return false end
  if verb == 'hold' and status == 'deferred' then return false end
  if verb == 'move' and before ~= '' and queue == word then return false end -- one of many is there already
  local place, score = take_out(id, queue, status)
  if not place then return false end
  if not (depends and verb == 'move') then let_go(id, verb == 'cancel') end
  if verb == 'hold' then
    call('HSET', key, 'status', 'deferred', 'held', 'job', 'held_due', score or '')
    call('ZADD', registry('deferred', queue), precise(now), id)
  elseif verb == 'release' then
    local due = tonumber(call('HGET', key, 'held_due') or '')
    if due and due > now then schedule(key, id, queue, due) else to_queue(key, id, queue, true) end
  elseif verb == 'run' or verb == 'run_first' then
    to_queue(key, id, queue, verb == 'run_first')
  elseif verb == 'snooze' then
    schedule(key, id, queue, word)
  elseif verb == 'cancel' then
    call('HSET', key, 'status', 'canceled', 'ended_at', now_text)
    call('ZADD', registry('canceled', queue), precise(now), id)
  elseif verb == 'move' then
    call('HSET', key, 'origin', word)
    if place == 'queued' then
      push(word, id, false)
    else
      call('SADD', P .. ':queues', queue_key(word))
      call('ZADD', registry(place, word), score, id)
    end
  end
  return true
end

local done = 0
for i = FIRST, #ARGV do
  if act(ARGV[i]) then done = done + 1 end
end
remove_struck()
if tally ~= '' then
  call('HINCRBY', tally, field, done)
  call('EXPIRE', tally, WEEK)
end
return done
