-- End a pause and put the jobs it kept back at the head of their queues, in their old order, some at a time.
-- Arguments: the pause (queue:low, task:…, tag:…), how many jobs at most, 1 to end it only if its time is up.
-- Answer: how many jobs are still kept back; -1 where the pause has not ended yet.
local pause, most = ARGV[2], tonumber(ARGV[3])
local parked, now = KEY.PARKED .. ARGV[2], clock()
if ARGV[4] == '1' then
  local ends = tonumber(redis.call('HGET', KEY.PAUSED, pause) or '')
  if ends and (ends == 0 or ends > now) then return -1 end
end
redis.call('HDEL', KEY.PAUSED, pause)
for _ = 1, most do
  local id = redis.call('RPOP', parked)
  if not id then break end
  local queue, held = unpack(redis.call('HMGET', job_key(id), 'origin', 'held'))
  if queue and held == pause and redis.call('ZREM', registry('deferred', queue), id) == 1 then
    redis.call('HSET', job_key(id), 'status', 'queued')
    redis.call('HDEL', job_key(id), 'held')
    push(queue, id, true)
  end
end
redis.call('PUBLISH', KEY.CONTROL, pause)
return redis.call('LLEN', parked)
