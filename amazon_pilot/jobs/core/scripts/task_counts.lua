-- Count the tasks of the first jobs that wait in a queue: a constant number of them, however long the queue is.
-- Arguments: the queue, how many jobs to look at.
-- Answer: {how many were looked at, task, number, task, number, …}.
local most = tonumber(ARGV[3])
local ids = redis.call('LRANGE', P .. ':queue:' .. ARGV[2], 0, most - 1)
local numbers, answer = {}, {#ids}
for _, id in ipairs(ids) do
  local task, text = unpack(redis.call('HMGET', P .. ':job:' .. id, 'task', 'description'))
  local name = task or (text or ''):match('^[^(]*')
  numbers[name] = (numbers[name] or 0) + 1
end
for name, count in pairs(numbers) do
  answer[#answer + 1] = name
  answer[#answer + 1] = count
end
return answer
