-- Show a worker to the monitor, seen now by Redis's clock, and forget the workers that were not seen for long.
-- Arguments: worker, what it does as JSON, seconds to keep that, seconds to keep logs, then pairs: execution, end of its log.
insist()
local worker, now = ARGV[2], clock()
redis.call('SET', KEY.WORKER .. worker, ARGV[3], 'EX', ARGV[4])
redis.call('ZADD', KEY.WORKERS, precise(now), worker)
redis.call('ZREMRANGEBYSCORE', KEY.WORKERS, '-inf', precise(now - ARGV[4]))
for i = 6, #ARGV, 2 do redis.call('SET', KEY.LOG .. ARGV[i], ARGV[i + 1], 'EX', ARGV[5]) end
