-- End one attempt that did not succeed. Running it twice changes nothing.
-- Arguments: worker, queue, id, execution id; verdict (failed, stopped, scheduled = retry later, queued = retry now);
--   wait in seconds, 1 for the head of the queue, failure ttl, retries left or '', meta or '' (unchanged);
--   started, ended as text, started, ended in seconds; the traceback (base64 of zlib), the writer of the history's
--   line and the payload.
-- Answer: 1 done, 0 refused (its lease was lost), 2 has dependents, which need rq's own code.
local worker, queue, id, execution, verdict = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local wait, at_front, ttl, retries_left, meta = tonumber(ARGV[7]), ARGV[8] == '1', tonumber(ARGV[9]), ARGV[10], ARGV[11]
local started_at, ended_at, started, ended, trace, line, data = unpack(ARGV, 12, 18)
local entry, key, now = id .. ':' .. execution, job_key(id), clock()
local final = verdict == 'failed' or verdict == 'stopped'
local status = call('HGET', key, 'status')
local is_wanted = not is_given_up(status)
if final and is_wanted and redis.call('EXISTS', key .. ':dependents') == 1 then return 2 end
if redis.call('ZREM', registry('wip', queue), entry) == 0 then
  tell_if_abandoned(status, execution, line, data)
  return 0
end
forget(entry, id, execution, worker)
note(line, data)
redis.call('HINCRBY', P .. ':worker:' .. worker, 'failed_job_count', 1)
redis.call('HINCRBYFLOAT', P .. ':worker:' .. worker, 'total_working_time', precise(ended - started))
if not is_wanted then return 1 end
redis.call('HSET', key, 'status', verdict, 'started_at', started_at, 'ended_at', ended_at, 'last_heartbeat', ended_at)
if retries_left ~= '' then redis.call('HSET', key, 'retries_left', retries_left) end
if meta ~= '' then redis.call('HSET', key, 'meta', meta) end
if final then
  bury(queue, id, ttl, now)
  result(id, ttl, 'type', 2, 'worker_name', worker, 'exc_string', trace, 'execution_id', execution,
    'execution_started_at', started, 'execution_ended_at', ended)
elseif verdict == 'scheduled' then
  redis.call('SADD', P .. ':queues', queue_key(queue))
  redis.call('ZADD', registry('scheduled', queue), math.ceil(now + wait), id)
else
  redis.call('HSET', key, 'enqueued_at', ended_at)
  push(queue, id, at_front)
end
return 1
