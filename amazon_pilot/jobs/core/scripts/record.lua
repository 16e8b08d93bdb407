-- Write the execution records that rq's tools read, for jobs that have run longer than a moment.
-- Arguments: worker; then per job: queue, id, execution id, started as text, started in seconds, the writer of the history's line,
--   the payload.
-- Answer: how many were written; a job whose lease was lost, or that is gone, is passed over.
insist()
local worker, written = ARGV[2], 0
for i = 3, #ARGV, 7 do
  local queue, id, execution, started_at, started, line, data = unpack(ARGV, i, i + 6)
  local entry, key = id .. ':' .. execution, job_key(id)
  local score = redis.call('ZSCORE', registry('wip', queue), entry)
  local status = call('HGET', key, 'status')
  if score and is_given_up(status) then
    -- rq ends the lease of a job that it cancels or deletes by its execution records, which did not stand yet. Without
    -- a lease the next renewal has the slot killed.
    call('ZREM', registry('wip', queue), entry)
  elseif score then
    redis.call('HSET', key, 'started_at', started_at, 'last_heartbeat', started_at)
    redis.call('HSET', P .. ':execution:' .. entry, 'id', execution, 'job_id', id, 'created_at', started,
      'last_heartbeat', started, 'worker_name', worker)
    redis.call('EXPIRE', P .. ':execution:' .. entry, LIMIT.RUN_SECONDS)
    redis.call('ZADD', P .. ':executions:' .. id, score, execution)
    redis.call('EXPIRE', P .. ':executions:' .. id, LIMIT.RUN_SECONDS)
    redis.call('SADD', P .. ':worker:' .. worker .. ':executions', entry)
    redis.call('EXPIRE', P .. ':worker:' .. worker .. ':executions', LIMIT.RUN_SECONDS)
    note(line, data)
    written = written + 1
  end
end
return written
