-- Accept jobs: write their hashes and put them on their queue, or among the scheduled until their time comes.
-- Arguments: queue, seconds to wait (0 = now), 1 for the head of the queue; then per job: id, the key of a unique task
--   or '', number of words that follow, field, value, …
-- Answer: the id of each job, or of the job that already waits or runs under the same key. An id that is there already
--   is written no more: a client whose answer was lost on the wire sends the whole command again.
local queue, wait, at_front = ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local ids, i = {}, 5

-- Have a job found by each of its subjects, among the newest of that subject.
local function index(id, about)
  for subject in about:gmatch('[^,]+') do
    local key = KEY.ABOUT .. subject
    call('ZADD', key, precise(clock() + wait), id)
    call('ZREMRANGEBYRANK', key, 0, -LIMIT.ABOUT_JOBS - 1)
    call('EXPIRE', key, LIMIT.ABOUT_SECONDS + math.ceil(wait))
  end
end

call('SADD', P .. ':queues', queue_key(queue))
while i <= #ARGV do
  local id, key, words = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local other = call('EXISTS', job_key(id)) == 1 and id or key ~= '' and pending_under(key)
  if other then
    if other ~= id then call('HINCRBY', job_key(other), 'joined', 1) end
    ids[#ids + 1] = other
  else
    if key ~= '' then take_key(key, id) end
    call('HSET', job_key(id), 'status', wait > 0 and 'scheduled' or 'queued', unpack(ARGV, i + 3, i + 2 + words))
    if wait > 0 then
      local due = math.ceil(clock() + wait)
      call('HSET', job_key(id), 'planned', due) -- it is not enqueued yet, though its fields say when it was asked for
      call('ZADD', registry('scheduled', queue), due, id)
    else
      call(at_front and 'LPUSH' or 'RPUSH', queue_key(queue), id)
    end
    for field = i + 3, i + 2 + words, 2 do
      if ARGV[field] == 'about' then index(id, ARGV[field + 1]) end
    end
    ids[#ids + 1] = id
  end
  i = i + 3 + words
end
return ids
