-- Look at the first jobs of several places in one step, so that none moves from one to another meanwhile. Reads only.
-- Arguments: how many jobs at most, in all and of each place; for each place list or the name of a registry, and a queue.
-- Answer: for each place {how many are there, jobs}, a job as `shown` answers it. Where not all can be looked at each
--   place has an equal share, and what a short one leaves of it goes to the longer ones.
local left, each = tonumber(ARGV[2]), tonumber(ARGV[3])
local places, by_length = {}, {}
for i = 4, #ARGV, 2 do
  local name, queue = ARGV[i], ARGV[i + 1]
  local key = name == 'list' and queue_key(queue) or registry(name, queue)
  local place = {name = name, key = key, total = call(name == 'list' and 'LLEN' or 'ZCARD', key)}
  places[#places + 1], by_length[#by_length + 1] = place, place
end
table.sort(by_length, function(a, b) return a.total < b.total end)
for i, place in ipairs(by_length) do
  place.number = math.min(place.total, each, math.floor(left / (#by_length - i + 1)))
  left = left - place.number
end
local answer = {}
for i, place in ipairs(places) do
  local jobs = {}
  if place.number > 0 and place.name == 'list' then
    for _, id in ipairs(call('LRANGE', place.key, 0, place.number - 1)) do jobs[#jobs + 1] = shown('list', id, '') end
  elseif place.number > 0 then
    local found = call('ZRANGE', place.key, 0, place.number - 1, 'WITHSCORES')
    for n = 1, #found, 2 do jobs[#jobs + 1] = shown(place.name, found[n], found[n + 1]) end
  end
  answer[i] = {place.total, jobs}
end
return answer
