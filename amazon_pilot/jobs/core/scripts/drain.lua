-- Delete the jobs at the head of a queue that were enqueued before a time; newer ones keep their place and order.
-- Arguments: queue, the time as rq writes it, how many jobs to look at.
-- Answer: {how many were deleted, how many newer ones stand at the head, 1 where the queue's end was reached}.
local queue, before, most = queue_key(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local ids = redis.call('LPOP', queue, most) or {}
local newer, deleted = {}, 0
for _, id in ipairs(ids) do
  local key = job_key(id)
  local enqueued_at = redis.call('HGET', key, 'enqueued_at')
  -- Both times are UTC and of one format, so that they compare as text.
  if enqueued_at and enqueued_at >= before then
    newer[#newer + 1] = id
  else
    if enqueued_at then deleted = deleted + 1 end
    redis.call('UNLINK', key, key .. ':dependents', dependencies_key(id), P .. ':results:' .. id)
  end
end
for i = #newer, 1, -1 do redis.call('LPUSH', queue, newer[i]) end
return {deleted, #newer, #ids < most and 1 or 0}
