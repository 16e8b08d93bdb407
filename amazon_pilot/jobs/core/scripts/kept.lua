-- Delete jobs in two steps, between which somebody writes down what they were; and bring them back as they were.
-- Arguments: verb, then by verb
--   keep: the time as text before which a job has to have been enqueued or '', the bytes after which to stop, the tasks
--     of which the payload is wanted (JSON, a list of names), the ids. Changes nothing.
--     Answer: {how many ids were looked at, jobs}, a job being {id, mark, task, payload or '', content, queue}: content is
--     for `restore`, mark tells `forget` whether the job has changed meanwhile. Left out is what is in no place that it
--     could be deleted from: it runs, or is gone.
--   forget: how far from the end of their queue the jobs stand or '' for anywhere, the hash and the field in which to
--     count or '' and '', the key of a set that tells until the next batch which jobs were deleted, then id and mark.
--     Answer: the ids of the jobs that were deleted; the others have changed.
--   restore: the hash in which to count, the key of the last row; then per row: its key, id, unique key or '', content.
--     What has been done up to that last row is not done again. Answer: the keys of the rows that were brought back.
local verb, FIRST = ARGV[2], 6
local WEEK = 604800
local ENDED = {failed = 'failed', stopped = 'failed', canceled = 'canceled', finished = 'finished'}
local WAITING = {queued = 'queued', scheduled = 'scheduled', deferred = 'deferred'}

-- Where a job is: its place, its queue, its score there or '', and a text that changes whenever it moves.
local function look_at(id)
  local found = call('HMGET', job_key(id), 'status', 'origin', 'enqueued_at', 'attempt', 'started_at', 'ended_at', 'held',
    'held_due')
  local place, queue, score = ENDED[found[1]] or WAITING[found[1]], found[2], ''
  if not place or not queue then return nil end
  if place ~= 'queued' then
    score = call('ZSCORE', registry(place, queue), id)
    if not score then return nil end
  end
  for i = 1, 8 do found[i] = found[i] or '' end
  -- What was enqueued last sorts last, in UTC and of one format.
  return place, queue, score, table.concat({found[3], found[1], queue, found[4], found[5], found[6], found[7], found[8],
    score}, '|'), found[3]
end

-- One key as bytes, with the time (ms) at which it expires or 0; large results are not worth it.
local function dumped(key, most)
  local bytes = call('DUMP', key)
  if not bytes or (most and #bytes > most) then return '', 0 end
  local left = call('PTTL', key)
  return bytes, left > 0 and math.floor(clock() * 1000) + left or 0
end

local function keep()
  local before, most, wanted = ARGV[3], tonumber(ARGV[4]), {}
  for _, task in ipairs(cjson.decode(ARGV[5])) do wanted[task] = true end
  local jobs, size, i = {}, 0, FIRST
  while i <= #ARGV and size < most do
    local id = ARGV[i]
    local key = job_key(id)
    local place, queue, score, mark, enqueued_at = look_at(id)
    if place and (before == '' or enqueued_at == '' or enqueued_at < before) then
      local hash, until_ms = dumped(key)
      local results, results_until = dumped(P .. ':results:' .. id, 65536)
      local content = cmsgpack.pack({place, queue, score, hash, until_ms, results, results_until,
        (dumped(key .. ':dependents')), (dumped(dependencies_key(id)))})
      local task, data = unpack(call('HMGET', key, 'task', 'data'))
      jobs[#jobs + 1] = {id, mark, task or '', task and wanted[task] and data or '', content, queue}
      size = size + #content
    end
    i = i + 1
  end
  return {i - FIRST, jobs}
end

local function take_out(id, queue, place, distance)
  if place ~= 'queued' then return call('ZREM', registry(place, queue), id) == 1 end
  return distance and strike(id, queue, distance) or call('LREM', queue_key(queue), 1, id) == 1
end

local function forget_jobs()
  local distance, tally, field, proof = tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
  local done = {}
  call('DEL', proof) -- first of all: a script that has written is not refused at the memory limit, and may end
  for i = 7, #ARGV, 2 do
    local id = ARGV[i]
    local place, queue, _, mark = look_at(id)
    if place and mark == ARGV[i + 1] and take_out(id, queue, place, distance) then
      local key = job_key(id)
      let_go(id)
      call('UNLINK', key, key .. ':dependents', dependencies_key(id), P .. ':results:' .. id, P .. ':executions:' .. id)
      done[#done + 1] = id
    end
  end
  remove_struck()
  if tally ~= '' then
    call('HINCRBY', tally, field, #done)
    call('EXPIRE', tally, WEEK)
  end
  for _, id in ipairs(done) do call('SADD', proof, id) end
  call('EXPIRE', proof, WEEK)
  return done
end

-- False where the key exists, or another version of Redis wrote the bytes.
local function write(key, bytes, until_ms)
  if bytes == '' then return true end
  local answer = redis.pcall('RESTORE', key, string.format('%.0f', until_ms), bytes, 'ABSTTL')
  local problem = answer.err
  if problem and not problem:find('BUSYKEY') and not problem:find('Bad data') and not problem:find('checksum') then
    error(problem)
  end
  return not problem
end

-- A job that a pause keeps back goes on with the others where that pause has ended meanwhile.
local function kept_back(id, key)
  local pause = call('HGET', key, 'held')
  if not pause or pause == 'job' then return true end
  if call('HEXISTS', KEY.PAUSED, pause) == 1 then return call('RPUSH', KEY.PARKED .. pause, id) end
  call('HSET', key, 'status', 'queued')
  call('HDEL', key, 'held')
  return false
end

-- A job that waited for others goes on waiting for those of them that have not ended; false where all have.
local function waits_again(id, key)
  if call('HGET', key, 'held') then return true end
  local others, waits = call('SMEMBERS', dependencies_key(id)), false
  for _, other in ipairs(others) do
    if is_pending(other) then
      call('SADD', job_key(other) .. ':dependents', id)
      waits = true
    end
  end
  return waits or #others == 0
end

local function bring_back(id, unique, content)
  local key = job_key(id)
  if call('EXISTS', key) == 1 then return false end
  local place, queue, score, hash, until_ms, results, results_until, dependents, dependencies =
    unpack(cmsgpack.unpack(content))
  if until_ms > 0 and until_ms <= clock() * 1000 then return false end
  local is_unique = unique ~= '' and WAITING[place]
  if is_unique and pending_under(unique) then return false end
  if not write(key, hash, until_ms) then return false end
  write(dependencies_key(id), dependencies, 0)
  if place == 'deferred' and not waits_again(id, key) then
    call('UNLINK', key, dependencies_key(id))
    return false
  end
  write(P .. ':results:' .. id, results, results_until)
  write(key .. ':dependents', dependents, 0)
  for _, other in ipairs(call('SMEMBERS', key .. ':dependents')) do
    -- One that an operator let go waits for this job no longer, even where it is held.
    local waits = call('HGET', job_key(other), 'status') == 'deferred' and not call('HGET', job_key(other), 'held')
    if not waits then call('SREM', key .. ':dependents', other) end
  end
  if is_unique then take_key(unique, id) end
  if place == 'queued' or (place == 'deferred' and not kept_back(id, key)) then
    push(queue, id, true)
  else
    call('SADD', P .. ':queues', queue_key(queue))
    call('ZADD', registry(place, queue), score, id)
  end
  return true
end

local function restore()
  local tally, last, done = ARGV[3], tonumber(ARGV[4]), {}
  if last <= tonumber(call('HGET', tally, 'upto') or '0') then return done end
  for i = 5, #ARGV, 4 do
    if bring_back(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) then done[#done + 1] = ARGV[i] end
  end
  call('HSET', tally, 'upto', last, 'last', table.concat(done, ','))
  call('HINCRBY', tally, 'restored', #done)
  call('HINCRBY', tally, 'met', (#ARGV - 4) / 4)
  call('EXPIRE', tally, WEEK)
  return done
end

return ({keep = keep, forget = forget_jobs, restore = restore})[verb]()
