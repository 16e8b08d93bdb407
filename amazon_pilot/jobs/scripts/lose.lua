-- A slot died under its job: the job goes back to the head of its queue, or among the failed as poison.
-- Arguments: queue, id, execution id, cause, the poison's traceback (base64 of zlib).
-- Answer: queued, poison, gone (deleted meanwhile), or nothing where the lease was lost before.
return lose(ARGV[2], ARGV[3] .. ':' .. ARGV[4], ARGV[5], ARGV[6], clock())
