-- Look at everything that changes by the second, in one step. Reads only; nothing here grows with the number of jobs.
-- Arguments: how many minutes of takes, how many workers at most, then the queues' names.
-- Answer: {seconds, microseconds, queues, takes, paused, workers (what each does, when it was seen), unwritten,
--   first unwritten, report, schedulers, the minute's reading, failed jobs that will be deleted}.
local minutes, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local queues, takes = {}, {}
for i = 4, #ARGV do
  local name = ARGV[i]
  local function size(of) return redis.call('ZCARD', registry(of, name)) end
  local list = P .. ':queue:' .. name
  local oldest = redis.call('LINDEX', list, 0)
  local since = oldest and redis.call('HGET', P .. ':job:' .. oldest, 'enqueued_at') or ''
  local due = redis.call('ZRANGE', P .. ':scheduled:' .. name, 0, 0, 'WITHSCORES')[2] or ''
  queues[#queues + 1] = {name, redis.call('LLEN', list), size('wip'), size('scheduled'), size('deferred'),
    size('failed'), size('finished'), size('canceled'), since, due}
end
local minute = math.floor(time[1] / 60)
for i = 0, minutes - 1 do
  local row = redis.call('HGETALL', KEY.TAKES .. (minute - i))
  if #row > 0 then takes[#takes + 1] = {minute - i, row} end
end
local workers, seen = {}, redis.call('ZREVRANGE', KEY.WORKERS, 0, most - 1, 'WITHSCORES')
for i = 1, #seen, 2 do
  local doing = redis.call('GET', KEY.WORKER .. seen[i])
  if doing then workers[#workers + 1] = {doing, seen[i + 1]} end
end
local unwritten, first = 0, ''
for _, stream in ipairs({KEY.RUNS, KEY.FAILURES}) do
  local entry = redis.call('EXISTS', stream) == 1 and redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if entry then
    unwritten = unwritten + redis.call('XLEN', stream)
    if first == '' or tonumber(entry[1]:match('%d+')) < tonumber(first:match('%d+')) then first = entry[1] end
  end
end
return {time[1], time[2], queues, takes, redis.call('HGETALL', KEY.PAUSED), workers, unwritten, first,
  redis.call('HGETALL', KEY.SCHEDULER), redis.call('ZRANGE', KEY.SCHEDULERS, 0, -1, 'WITHSCORES'),
  redis.call('GET', KEY.READING) or '', redis.call('HGETALL', KEY.GOING)}
