-- Look at a window of the jobs in one place, without changing anything.
-- Arguments: list or the name of a registry; queue, position of the first (0 = next to run, or newest in a registry that
--   is read backwards; -1 the last of a queue), how many, 1 to read a registry backwards; and to read a registry on
--   from behind a job, whether that is still there or not: its score and its id.
-- Answer: {how many are there, jobs}, a job as `shown` answers it.
local place, queue, first, most, backwards = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local jobs, total = {}

if place == 'list' then
  total = call('LLEN', queue_key(queue))
  for _, id in ipairs(most > 0 and call('LRANGE', queue_key(queue), first, first + most - 1) or {}) do
    jobs[#jobs + 1] = shown(place, id, '')
  end
else
  local key = registry(place, queue)
  total = call('ZCARD', key)
  local score, id = ARGV[7], ARGV[8]
  if id then
    -- A mark right behind it, put in for a moment that nobody else sees: the job itself may be gone, or be back later.
    local mark = id .. '\0'
    call('ZADD', key, score, mark)
    first = call('ZRANK', key, mark)
    call('ZREM', key, mark)
  end
  local found = most == 0 and {} or call(backwards and 'ZREVRANGE' or 'ZRANGE', key, first, first + most - 1, 'WITHSCORES')
  for i = 1, #found, 2 do jobs[#jobs + 1] = shown(place, found[i], found[i + 1]) end
end
return {total, jobs}
