-- Count the tasks of the first jobs that wait in a queue, and what these are about: a constant number of jobs, however long
-- the queue is.
-- Arguments: the queue, how many jobs to look at, how many subjects of each to count.
-- Answer: {how many were looked at, {task, number, …}, {subject, number, …}}; subjects that one job alone names are left out.
local most, few = tonumber(ARGV[3]), tonumber(ARGV[4])
local ids = redis.call('LRANGE', P .. ':queue:' .. ARGV[2], 0, most - 1)
local tasks, subjects = {}, {}
for _, id in ipairs(ids) do
  local task, text, about = unpack(redis.call('HMGET', P .. ':job:' .. id, 'task', 'description', 'about'))
  local name, left = task or (text or ''):match('^[^(]*'), few
  tasks[name] = (tasks[name] or 0) + 1
  for subject in (about or ''):gmatch('[^,]+') do
    if left == 0 then break end
    subjects[subject], left = (subjects[subject] or 0) + 1, left - 1
  end
end

local function counted(numbers, least)
  local answer = {}
  for name, count in pairs(numbers) do
    if count >= least then answer[#answer + 1], answer[#answer + 2] = name, count end
  end
  return answer
end

return {#ids, counted(tasks, 1), counted(subjects, 2)}
