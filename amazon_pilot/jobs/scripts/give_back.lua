-- Put jobs that a leaving worker has not ended back at the head of their queues, as if they had never been taken.
-- Arguments: then per job, last taken first: queue, id, execution id, worker, the historian's line or ''.
-- Answer: how many went back.
local back = 0
for i = 2, #ARGV, 5 do
  local queue, id, execution, worker, line = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local entry, key = id .. ':' .. execution, job_key(id)
  if redis.call('ZREM', registry('wip', queue), entry) == 1 then
    forget(entry, id, execution, worker)
    if line ~= '' then note(line) end
    if redis.call('HGET', key, 'status') == 'started' then
      redis.call('HSET', key, 'status', 'queued')
      redis.call('HINCRBY', key, 'attempt', -1)
      push(queue, id, true)
      back = back + 1
    end
  end
end
return back
