-- Tell about how much memory one queue takes, from a few jobs of each place, and how many of its scheduled are retries.
-- Reads only; looks at no more than a few jobs, however many there are, and at a list's two ends alone.
-- Arguments: queue, how many jobs of each place are weighed at most.
-- Answer: {bytes, retries}, both estimated where there are more jobs than are looked at.
local queue, most = ARGV[2], tonumber(ARGV[3])
local bytes, retries = 0, 0

-- Of a job every field is weighed, for the arguments may be in one of them; of a list or set five members.
local function weight(key, members) return redis.call('MEMORY', 'USAGE', key, 'SAMPLES', members) or 0 end

local function weigh(key, size, members, is_entry)
  local sum, again = 0, 0
  for _, member in ipairs(members) do
    local id = is_entry and member:match('^(.*):[^:]*$') or member
    sum = sum + weight(P .. ':job:' .. id, 0) + weight(P .. ':results:' .. id, 0)
    if (tonumber(redis.call('HGET', P .. ':job:' .. id, 'attempt') or '') or 0) > 0 then again = again + 1 end
  end
  if #members == 0 then return 0 end
  bytes = bytes + weight(key, 5) + sum / #members * size
  return again / #members * size
end

local list = P .. ':queue:' .. queue
local size = redis.call('LLEN', list)
local members = redis.call('LRANGE', list, 0, most - 1)
if size > most then
  -- The oldest and the newest: what lies between is reached only by walking there.
  local half = math.floor(most / 2)
  members = redis.call('LRANGE', list, 0, half - 1)
  for _, id in ipairs(redis.call('LRANGE', list, -half, -1)) do members[#members + 1] = id end
end
weigh(list, size, members)
for _, name in ipairs({'wip', 'scheduled', 'deferred', 'failed', 'finished', 'canceled'}) do
  local key = P .. ':' .. name .. ':' .. queue
  local again = weigh(key, redis.call('ZCARD', key), redis.call('ZRANDMEMBER', key, most), name == 'wip')
  if name == 'scheduled' then retries = again end
end
return {math.floor(bytes + 0.5), math.floor(retries + 0.5)}
