-- Bring back the jobs of workers that have not renewed their leases for LEASE seconds. Only our own entries are looked
-- at: a stock worker's healthy entry may score lower than our limit.
-- Arguments: queue, the mark of our execution ids, the poison's traceback (base64 of zlib), how many at most,
--   how many seconds from now a lease must still have (0, or more in tests that will not wait), patient (1 or 0).
-- Answer: pairs of entry and verdict (queued, poison, gone).
local queue, mark, most, patient = ARGV[2], ':' .. ARGV[3], tonumber(ARGV[5]), ARGV[7] == '1'
local now, answers = clock(), {}
insist()
if patient then
  -- Where nobody has looked for a while, Redis was away and nobody could renew either: the living come first.
  local last = tonumber(call('GET', KEY.LOOKED) or '') or 0
  call('SET', KEY.LOOKED, precise(now))
  if now - last > LIMIT.SILENCE then call('SET', KEY.RENEW_FIRST, 1, 'EX', LIMIT.RENEW_FIRST) end
  local rest = call('TTL', KEY.RENEW_FIRST)
  if rest > LIMIT.RENEW_FIRST then call('EXPIRE', KEY.RENEW_FIRST, LIMIT.RENEW_FIRST) end -- the clock was set back
  if rest ~= -2 then return answers end
end
-- No lease ends later than this: one that does was given before the clock was set back, and would hold a dead worker's
-- job for as long as that. The living renew theirs within seconds.
local latest = now + LIMIT.LEASE + LIMIT.GRACE
for _, entry in ipairs(call('ZRANGEBYSCORE', registry('wip', queue), precise(latest + 1), '+inf', 'LIMIT', 0, most)) do
  if entry:find(mark, 1, true) then call('ZADD', registry('wip', queue), 'XX', precise(latest), entry) end
end
local limit = precise(now + LIMIT.GRACE + tonumber(ARGV[6]))
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
