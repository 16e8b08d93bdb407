-- What unique tasks and rate limits hold, for a page: a bounded part of each, and nothing is changed.
-- Arguments: how many keys of unique tasks to look at, the oldest first; how many of them to show; where among the rate
--   limits to go on ('0' = at the beginning) and about how many of those to show; how many jobs of each to show.
-- Answer: {names in the index, keys, where to go on ('0' = at the end), limits}. A key is {name, since, id, job}, of jobs
--   that have not ended; a limit {name, permits, held, waiting, holders, next}, the last two lists of {id, since, job}. A
--   job is the HMGET of FIELDS.HOLDER, its payload if that is short, and when it is due if it is planned.
local looked_at, most, cursor, count, few = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[6])
local SHORT = 2000 -- bytes

local function job(id)
  local fields = redis.pcall('HMGET', job_key(id), unpack(FIELDS.HOLDER))
  if fields.err then fields = {'', '', err = true} end
  for i = 1, #FIELDS.HOLDER do fields[i] = fields[i] or '' end
  fields[#fields + 1] = not fields.err and call('HSTRLEN', job_key(id), 'data') <= SHORT and call('HGET', job_key(id), 'data') or ''
  fields[#fields + 1] = fields[1] == 'scheduled' and call('ZSCORE', registry('scheduled', fields[2]), id) or ''
  return fields
end

local function listed(key)
  local found, pairs_of = {}, call('ZRANGE', key, 0, few - 1, 'WITHSCORES')
  for i = 1, #pairs_of, 2 do found[#found + 1] = {pairs_of[i], pairs_of[i + 1], job(pairs_of[i])} end
  return found
end

local keys, names = {}, call('ZRANGE', KEY.UNIQUES, 0, looked_at - 1, 'WITHSCORES')
for i = 1, #names, 2 do
  if #keys == most then break end
  local id = pending_under(names[i])
  if id then keys[#keys + 1] = {names[i], names[i + 1], id, job(id)} end
end

local limits, part = {}, call('SSCAN', P .. ':rl-keys', cursor, 'COUNT', count)
for _, name in ipairs(part[2]) do
  local key = P .. ':rl:' .. name
  local held, waiting = key .. ':allowed', key .. ':rate_limited'
  limits[#limits + 1] = {name, call('HGET', key, 'concurrency') or '', call('ZCARD', held), call('ZCARD', waiting),
    listed(held), listed(waiting)}
end
return {call('ZCARD', KEY.UNIQUES), keys, part[1], limits}
