-- Take jobs out of their queues and mark them started, for every free slot at once.
-- Arguments: worker; the mark that begins the execution ids of this batch; how many of the jobs begin at once (the ids of
--   those that will lie behind another carry a b); number of queues and their names;
--   then one order of the queues per job wanted, as bytes (0 = first queue), drawn by weight.
-- Answer: {jobs, resting, more}. A job is {queue, id, execution id, rare, HMGET of FIELDS.TAKEN}; `rare` is 1 where rq's own code must
--   end it. `resting` names the queues that are paused now, or all of them while rq is suspended. `more` is 1 where so
--   many ids without a job to run were met that it stopped looking.
local READ, FIRST_RARE = {}, #FIELDS.TAKEN + 1
for _, name in ipairs(FIELDS.TAKEN) do READ[#READ + 1] = name end
for _, name in ipairs(FIELDS.RARE) do READ[#READ + 1] = name end
local worker, mark, idle, count = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local now = clock()
local jobs, resting, paused, picky = {}, {}, {}, false

local pauses = call('HGETALL', KEY.PAUSED)
for i = 1, #pauses, 2 do
  local ends = tonumber(pauses[i + 1]) or -1
  if ends == 0 or ends > now then
    paused[pauses[i]] = true
    if pauses[i]:sub(1, 6) ~= 'queue:' then picky = true end
  end
end
-- Where the history is too far behind, jobs wait: the stream would begin to drop what no row holds yet.
local unwritten = math.max(call('XLEN', KEY.RUNS), call('XLEN', KEY.FAILURES))
local suspended = call('EXISTS', P .. ':suspended') == 1 or unwritten > LIMIT.HISTORY_FULL
local names = {}
for i = 1, count do
  local name = ARGV[5 + i]
  if suspended or paused['queue:' .. name] then resting[#resting + 1] = name else names[i] = name end
end

-- The pause that keeps this job back, or nothing.
local function kept_back(job)
  local task = job[15] or (job[14] or ''):match('^[^(]*')
  if paused['task:' .. task] then return 'task:' .. task end
  for tag in (job[13] or ''):gmatch('[^,]+') do
    if paused['tag:' .. tag] then return 'tag:' .. tag end
  end
end

local function park(queue, id, pause)
  call('HSET', job_key(id), 'status', 'deferred', 'held', pause)
  call('ZADD', registry('deferred', queue), precise(now), id)
  call('RPUSH', KEY.PARKED .. pause, id)
end

local examined, MOST = 0, 1000
local function next_job(order)
  for i = 1, #order do
    local place = order:byte(i) + 1
    local queue = names[place]
    while queue and examined < MOST do
      local id = redis.pcall('LPOP', queue_key(queue)) -- pcall: what stands there may be no list, and no job
      if type(id) ~= 'string' then
        names[place] = nil -- nothing comes while this script runs
        break
      end
      examined = examined + 1
      local job = redis.pcall('HMGET', job_key(id), unpack(READ))
      if job[1] == 'queued' then
        local pause = picky and kept_back(job)
        if not pause then return queue, id, job end
        park(queue, id, pause)
      end
    end
  end
end

local ends, taken = precise(now + LIMIT.LEASE + LIMIT.GRACE), {}
for n = 6 + count, #ARGV do
  local queue, id, job = next_job(ARGV[n])
  if not queue then break end
  local execution = mark .. (#jobs < idle and '' or 'b') .. #jobs
  local attempt = number(job[11], 0, LIMIT.ATTEMPTS, 0) + 1
  call('HSET', job_key(id), 'status', 'started', 'worker_name', worker, 'attempt', attempt)
  call('PERSIST', job_key(id))
  call('ZADD', registry('wip', queue), ends, id .. ':' .. execution)
  taken[queue] = (taken[queue] or 0) + 1
  local rare = 0
  for i = FIRST_RARE, #READ do
    if job[i] and job[i] ~= '' then rare = 1 end
  end
  if job[4] == '0' then rare = 1 end
  job[11] = attempt
  job[FIRST_RARE] = nil -- an answer ends before its first nil: a worker needs no more than `rare`
  jobs[#jobs + 1] = {queue, id, execution, rare, job}
end
for queue, count_taken in pairs(taken) do
  local key = KEY.TAKES .. math.floor(now / 60)
  call('HINCRBY', key, queue, count_taken)
  call('EXPIRE', key, 7200)
end
return {jobs, resting, examined < MOST and 0 or 1}
