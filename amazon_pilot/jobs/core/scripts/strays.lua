-- Give back what Redis holds in a worker's name and the worker does not know: the answer to its TAKE was lost.
-- Arguments: the mark of the worker, number of queues and their names, then the entries that the worker knows.
-- Answer: how many went back.
local mark, count = ':' .. ARGV[2], tonumber(ARGV[3])
local known, back = {}, 0
for i = 4 + count, #ARGV do known[ARGV[i]] = true end
for q = 4, 3 + count do
  local queue = ARGV[q]
  for _, entry in ipairs(redis.call('ZRANGE', registry('wip', queue), 0, -1)) do
    if entry:find(mark, 1, true) and not known[entry] then
      local id = entry:match('^(.*):')
      redis.call('ZREM', registry('wip', queue), entry)
      if redis.call('HGET', job_key(id), 'status') == 'started' then
        redis.call('HSET', job_key(id), 'status', 'queued')
        take_attempt_back(job_key(id))
        push(queue, id, true)
        back = back + 1
      end
    end
  end
end
return back
