-- Put jobs that a leaving worker has not ended back at the head of their queues, as if they had never been taken.
-- Arguments: then per job, last taken first: queue, id, execution id, worker, the writer of the history's line
--   or '', the payload.
-- Answer: how many went back.
local back = 0
for i = 2, #ARGV, 6 do
  local queue, id, execution, worker, line, data = unpack(ARGV, i, i + 5)
  local entry, key = id .. ':' .. execution, job_key(id)
  if redis.call('ZREM', registry('wip', queue), entry) == 1 then
    forget(entry, id, execution, worker)
    if line ~= '' then note(line, data) end
    if redis.call('HGET', key, 'status') == 'started' then
      redis.call('HSET', key, 'status', 'queued')
      take_attempt_back(key)
      push(queue, id, true)
      back = back + 1
    end
  elseif line ~= '' then
    tell_if_abandoned(call('HGET', key, 'status'), execution, line, data)
  end
end
return back
