-- Shared by every script. ARGV[1] is rq's key prefix; times are seconds by Redis's own clock, never a worker's. KEY, LIMIT
-- and FIELDS are written before this from keys.py, limits.py and fields.py.
local P = ARGV[1]
local call = redis.call

local function clock()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1000000
end

-- A number that a stranger may have written: whole, and within bounds that Redis takes; `otherwise` where it is none.
local function number(text, low, high, otherwise)
  local n = tonumber(text or '')
  if not n or n ~= n then return otherwise end
  return math.floor(math.max(low, math.min(n, high)))
end

local function seconds_of(text, otherwise) return number(text, -1, LIMIT.LONGEST, otherwise) end

-- At its memory limit Redis refuses what may grow, but not within a script that has written already: a worker has to go
-- on, or no queue would ever drain.
local function insist() call('DEL', KEY.NOTHING) end

local function precise(seconds) return string.format('%.6f', seconds) end
local function job_key(id) return P .. ':job:' .. id end
-- rq writes one more colon into this key than into that of the dependents.
local function dependencies_key(id) return P .. ':job::' .. id .. ':dependencies' end
local function queue_key(queue) return P .. ':queue:' .. queue end
local function registry(name, queue) return P .. ':' .. name .. ':' .. queue end

-- One entry for the writer of the history: lines in pairs, what happened and beside it the job's payload as it lies in its hash.
-- Lines in one entry are of one kind: a failure never waits behind what went well.
local function note(...)
  local lines, fields = {...}, {}
  for i = 1, #lines, 2 do
    local n = (i - 1) / 2
    fields[2 * i - 1], fields[2 * i], fields[2 * i + 1], fields[2 * i + 2] = 'e' .. n, lines[i], 'd' .. n, lines[i + 1]
  end
  local is_well = lines[1]:sub(1, 11) == '["succeeded' or lines[1]:sub(1, 9) == '["started'
  call('XADD', is_well and KEY.RUNS or KEY.FAILURES, 'MAXLEN', '~', LIMIT.HISTORY_LENGTH, '*', unpack(fields))
end

-- Tell from the status in a job's hash, or false, whether rq has deleted or cancelled it: it does so also while it runs.
local function is_given_up(status)
  return not status or status == 'canceled'
end

-- Tell the history of a run that has lost its right to decide, where nobody else does: its job was deleted, or rq
-- cancelled it. One that was lost has had its line, and so has one that ended and whose job is not kept (rq_finish.py).
-- `status` is that of the job's hash, or false.
local function tell_if_abandoned(status, execution, line, data)
  if is_given_up(status) and call('EXISTS', KEY.LOST .. execution) == 0 then note(line, data) end
end

-- The execution records that rq's tools read, written for jobs that run longer than a moment.
local function forget(entry, id, execution, worker)
  redis.call('DEL', P .. ':execution:' .. entry)
  redis.call('ZREM', P .. ':executions:' .. id, execution)
  redis.call('SREM', P .. ':worker:' .. worker .. ':executions', entry)
end

-- Count an attempt that was none as never made.
local function take_attempt_back(key)
  redis.call('HSET', key, 'attempt', math.max(0, number(redis.call('HGET', key, 'attempt'), 0, LIMIT.ATTEMPTS, 1) - 1))
end

-- Put a job that is in no other place on its queue.
local function push(queue, id, at_front)
  redis.call('SADD', P .. ':queues', queue_key(queue))
  redis.call(at_front and 'LPUSH' or 'RPUSH', queue_key(queue), id)
end

-- Add a result to the job's stream, as rq.results.Result.save does. A new stream has 4 kB of room for what seldom comes;
-- a copy has none.
local function result(id, ttl, ...)
  local key = P .. ':results:' .. id
  call('XADD', key, 'MAXLEN', '~', 10, '*', ...)
  call('COPY', key, key .. ':copy')
  call('RENAME', key .. ':copy', key)
  if ttl < 0 then call('PERSIST', key) else call('EXPIRE', key, ttl) end
end

-- Put a job among the failed, as rq's FailedJobRegistry.add does; a negative ttl keeps it for ever.
local function bury(queue, id, ttl, now)
  if ttl < 0 then redis.call('PERSIST', job_key(id)) else redis.call('EXPIRE', job_key(id), ttl) end
  redis.call('ZADD', registry('failed', queue), ttl < 0 and ttl or precise(now + ttl), id)
end

-- A running job whose slot or worker is gone: back to the head of its queue, or among the failed after LOSSES times.
-- Returns nothing where the right to decide was lost, else 'queued', 'poison', 'unopened' (queued, and no loss: it lay
-- behind another job when its worker died, and its slot had hardly begun with it, if at all) or 'gone' (deleted meanwhile).
local function lose(queue, entry, cause, poison_text, now)
  if redis.call('ZREM', registry('wip', queue), entry) == 0 then return nil end
  local id, execution = entry:match('^(.*):([^:]*)$')
  local key = job_key(id)
  local job = redis.pcall('HMGET', key, 'status', 'losses', 'lost_at', 'worker_name', 'data', 'failure_ttl', 'attempt',
    'started_at', 'enqueued_at', 'meta', 'tags', 'unopened', 'about')
  if job.err then return 'gone' end -- what stands there is no job
  local worker = job[4] or ''
  local unopened = number(job[12], 0, LIMIT.UNOPENED, 0)
  local is_unopened = cause == 'worker_lost' and execution:find('-b%d+$') and unopened < LIMIT.UNOPENED
    and call('EXISTS', P .. ':execution:' .. entry) == 0
  forget(entry, id, execution, worker)
  if not job[1] then return 'gone' end
  -- rq writes 'scheduled' a moment before it schedules a retry: killed in between, the job would be nowhere.
  local half_retried = job[1] == 'scheduled' and not redis.call('ZSCORE', registry('scheduled', queue), id)
  if job[1] ~= 'started' and not half_retried then return 'gone' end
  if is_unopened and not half_retried then
    take_attempt_back(key)
    redis.call('HSET', key, 'status', 'queued', 'unopened', unopened + 1)
    push(queue, id, true)
    return 'unopened'
  end
  local first = number(job[3], 0, LIMIT.LONGEST, now)
  local losses = number(job[2], 0, LIMIT.ATTEMPTS, 0) + 1
  if now - first > LIMIT.LOSS_WINDOW then first, losses = now, 1 end
  local verdict = losses < LIMIT.LOSSES and 'queued' or 'poison'
  redis.call('HSET', key, 'losses', losses, 'lost_at', precise(first))
  redis.call('SET', KEY.LOST .. execution, 1, 'EX', LIMIT.LOST_SECONDS)
  if verdict == 'queued' then
    redis.call('HSET', key, 'status', 'queued')
    push(queue, id, true)
  else
    redis.call('HSET', key, 'status', 'failed')
    local ttl = seconds_of(job[6], LIMIT.FAILURE_SECONDS)
    bury(queue, id, ttl, now)
    result(id, ttl, 'type', 2, 'worker_name', worker, 'execution_id', execution, 'exc_string', poison_text)
  end
  note(cjson.encode({outcome = 'lost', id = id, execution = execution, queue = queue, worker = worker, cause = cause,
    poison = verdict == 'poison', losses = losses, attempt = number(job[7], 1, LIMIT.ATTEMPTS, 1), ended = now,
    started_at = job[8] or '', enqueued_at = job[9] or '', meta = job[10] or '', tags = job[11] or '',
    about = job[13] or ''}), job[5] or '')
  return verdict
end

-- What pages read of a job in a place: {id, score or '', HMGET of FIELDS.SHOWN}; one that was deleted comes with empty fields.
local function shown(place, member, score)
  local id = place == 'wip' and member:match('^(.*):[^:]*$') or member
  local fields = call('HMGET', job_key(id), unpack(FIELDS.SHOWN))
  for i = 1, #FIELDS.SHOWN do fields[i] = fields[i] or '' end
  return {id, score, fields}
end

-- The states of a job that has not ended.
local PENDING = {queued = true, started = true, scheduled = true, deferred = true, rate_limited = true,
  ready_to_enqueue = true}
local function is_pending(id) return PENDING[call('HGET', job_key(id), 'status') or ''] end

-- The job of a unique task that waits or runs under a key, or nothing.
local function pending_under(key)
  local other = call('GET', KEY.UNIQUE .. key)
  if other and is_pending(other) then return other end
end

-- Have a job be the one that waits or runs under a key. Names whose job has ended stay in the index until a later one
-- comes upon them: three are tried for each that is added, so that it never holds many.
local function take_key(key, id)
  call('SET', KEY.UNIQUE .. key, id, 'EX', LIMIT.UNIQUE_SECONDS)
  for _, other in ipairs(call('ZRANDMEMBER', KEY.UNIQUES, 3)) do
    if not pending_under(other) then call('ZREM', KEY.UNIQUES, other) end
  end
  call('ZADD', KEY.UNIQUES, precise(clock()), key)
  call('EXPIRE', KEY.UNIQUES, LIMIT.UNIQUE_SECONDS)
end

-- Whether a job still waits for another that has not ended.
local function waits_for_others(id)
  for _, other in ipairs(call('SMEMBERS', dependencies_key(id))) do
    if is_pending(other) then return true end
  end
end

-- Have no other job put this one on its queue when it ends: rq looks at nothing but the set of those that wait.
-- One that may have to wait again keeps what it waited for.
local function let_go(id, keeps)
  local mine = dependencies_key(id)
  for _, other in ipairs(call('SMEMBERS', mine)) do call('SREM', job_key(other) .. ':dependents', id) end
  if not keeps then call('DEL', mine) end
end

-- Take a waiting job out of the one place where it waits; returns that place and its score there, or nothing.
local function pull(id, queue, status)
  if status == 'queued' then
    if redis.call('LREM', queue_key(queue), 1, id) == 1 then return 'queued' end
  elseif status == 'scheduled' or status == 'deferred' then
    local key = registry(status, queue)
    local score = redis.call('ZSCORE', key, id)
    if score then
      redis.call('ZREM', key, id)
      return status, score
    end
  end
end

-- Taking a job out of the midst of a million by its id alone reads half of them; so those whose place is known are
-- struck out there, by index, and removed together at the end.
local WINDOW, SLACK = 500, 200 -- the ids are some of so many jobs; and so many may have come behind them meanwhile
local standing, struck = {}, {} -- of each queue: where its jobs stand, how many are struck out

local function look(queue, distance)
  local found, length = {}, call('LLEN', queue_key(queue))
  local first = math.max(0, length - distance - WINDOW - SLACK)
  for n, id in ipairs(call('LRANGE', queue_key(queue), first, length - 1 - math.max(0, distance - SLACK))) do
    found[id] = first + n - 1
  end
  standing[queue] = found
  return found
end

-- Returns whether the job stood about so far from the end of its queue.
local function strike(id, queue, distance)
  local at = (standing[queue] or look(queue, distance))[id]
  if not at then return false end
  call('LSET', queue_key(queue), at, KEY.GONE)
  struck[queue] = (struck[queue] or 0) + 1
  return true
end

local function remove_struck()
  for queue, count in pairs(struck) do call('LREM', queue_key(queue), -count, KEY.GONE) end
end
