-- Finish jobs that succeeded, a group in one step. Running it twice changes nothing.
-- Arguments: worker; then per job: queue, id, execution id, recorded (1 where execution records were written),
--   result ttl in seconds (negative keeps for ever), started and ended as text, started and ended in seconds,
--   the result in base64 or '', the writer of the history's line, the payload.
-- Answer: one number per job: 1 finished, 0 refused (its lease was lost), 2 has dependents, which need rq's own code.
local worker, now = ARGV[2], clock()
local answers, finished, seconds, lines = {}, 0, 0, {}

local function finish(queue, id, execution, recorded, ttl, started_at, ended_at, started, ended, value, line, data)
  local entry, key = id .. ':' .. execution, job_key(id)
  local status = call('HGET', key, 'status')
  local is_wanted = not is_given_up(status)
  if is_wanted and call('EXISTS', key .. ':dependents') == 1 then return 2 end
  if call('ZREM', registry('wip', queue), entry) == 0 then
    tell_if_abandoned(status, execution, line, data)
    return 0
  end
  if recorded == '1' then forget(entry, id, execution, worker) end
  if is_wanted then
    call('HSET', key, 'status', 'finished', 'started_at', started_at, 'ended_at', ended_at)
    if ttl >= 0 then call('EXPIRE', key, ttl) end
    if value == '' then
      result(id, ttl, 'type', 1, 'worker_name', worker, 'execution_id', execution, 'execution_started_at', started,
        'execution_ended_at', ended)
    else
      result(id, ttl, 'type', 1, 'worker_name', worker, 'execution_id', execution, 'execution_started_at', started,
        'execution_ended_at', ended, 'return_value', value)
    end
    call('ZADD', registry('finished', queue), ttl < 0 and '+inf' or precise(now + ttl), id)
  end
  lines[#lines + 1], lines[#lines + 2] = line, data
  if #lines >= 40 then
    note(unpack(lines))
    lines = {}
  end
  finished, seconds = finished + 1, seconds + (ended - started)
  return 1
end

for i = 3, #ARGV, 12 do
  -- Where Redis holds something else under one job's keys, the others end all the same, and it has its line at least.
  local ok, answer = pcall(finish, ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], seconds_of(ARGV[i + 4], 0), ARGV[i + 5],
    ARGV[i + 6], ARGV[i + 7], ARGV[i + 8], ARGV[i + 9], ARGV[i + 10], ARGV[i + 11])
  if not ok then lines[#lines + 1], lines[#lines + 2], answer = ARGV[i + 10], ARGV[i + 11], 1 end
  answers[#answers + 1] = answer
end
if #lines > 0 then note(unpack(lines)) end
if finished > 0 then
  call('HINCRBY', P .. ':worker:' .. worker, 'successful_job_count', finished)
  call('HINCRBYFLOAT', P .. ':worker:' .. worker, 'total_working_time', precise(seconds))
end
return answers
