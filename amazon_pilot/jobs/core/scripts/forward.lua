-- Move the retries and delayed jobs of one queue whose time has come onto it.
-- Arguments: queue, now as text, how many at most, seconds to look ahead (0, or more in tests that will not wait).
-- Answer: {how many were moved, ids of due jobs with a rate limit}, the latter untouched: they need rq's own code.
local queue, now_text, most = ARGV[2], ARGV[3], tonumber(ARGV[4])
local key, limited, moved = registry('scheduled', queue), {}, 0
local due = redis.call('ZRANGEBYSCORE', key, '-inf', precise(clock() + tonumber(ARGV[5])), 'LIMIT', 0, most)
for _, id in ipairs(due) do
  local job = redis.pcall('HMGET', job_key(id), 'status', 'rate_limit_key', 'enqueue_at_front', 'ttl',
    'enqueue_at_front_on_retry')
  if job[2] and job[2] ~= '' then
    limited[#limited + 1] = id
  else
    redis.call('ZREM', key, id)
    if job[1] then
      redis.call('HSET', job_key(id), 'status', 'queued', 'enqueued_at', now_text)
      local ttl = seconds_of(job[4])
      if ttl and ttl >= 0 then redis.call('EXPIRE', job_key(id), ttl) end
      push(queue, id, job[3] == '1' or job[5] == '1')
      moved = moved + 1
    end
  end
end
return {moved, limited}
