-- Renew the leases of running jobs. An entry that was taken away is never made again, and a job that was given up has
-- none: rq takes it away by the execution records, which may have come to stand amid its own steps.
-- Arguments: worker, now as text; then per job: queue, id, execution id, recorded (1 or 0).
-- Answer: the positions (from 1) of the jobs whose lease is lost: their slots must be killed.
insist()
local worker, now_text, now, gone = ARGV[2], ARGV[3], clock(), {}
local score = precise(now + LIMIT.LEASE + LIMIT.GRACE)
for i = 4, #ARGV, 4 do
  local queue, id, execution, recorded = unpack(ARGV, i, i + 3)
  local entry = id .. ':' .. execution
  if is_given_up(call('HGET', job_key(id), 'status')) and redis.call('ZREM', registry('wip', queue), entry) == 1 then
    forget(entry, id, execution, worker)
  end
  if not redis.call('ZSCORE', registry('wip', queue), entry) then
    gone[#gone + 1] = (i - 4) / 4 + 1
  else
    redis.call('ZADD', registry('wip', queue), 'XX', score, entry)
    if recorded == '1' then
      redis.call('HSET', job_key(id), 'last_heartbeat', now_text)
      redis.call('HSET', P .. ':execution:' .. entry, 'last_heartbeat', precise(now))
      redis.call('EXPIRE', P .. ':execution:' .. entry, LIMIT.RUN_SECONDS)
      redis.call('ZADD', P .. ':executions:' .. id, 'XX', score, execution)
      redis.call('EXPIRE', P .. ':executions:' .. id, LIMIT.RUN_SECONDS)
      redis.call('EXPIRE', P .. ':worker:' .. worker .. ':executions', LIMIT.RUN_SECONDS)
    end
  end
end
return gone
