-- Bring back the jobs of workers that have not renewed their leases for LEASE seconds. Only our own entries are looked
-- at: a stock worker's healthy entry may score lower than our limit.
-- Arguments: queue, the mark of our execution ids, the poison's traceback (base64 of zlib), how many at most,
--   how many seconds from now a lease must still have (0, or more in tests that will not wait).
-- Answer: pairs of entry and verdict (queued, poison, gone).
local queue, mark, most = ARGV[2], ':' .. ARGV[3], tonumber(ARGV[5])
local now, answers = clock(), {}
local limit = precise(now + GRACE + tonumber(ARGV[6]))
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', registry('wip', queue), '-inf', limit, 'LIMIT', 0, most)) do
  if entry:find(mark, 1, true) then
    local verdict = lose(queue, entry, 'worker_lost', ARGV[4], now)
    if verdict then
      answers[#answers + 1] = entry
      answers[#answers + 1] = verdict
    end
  end
end
return answers
