-- A slot died under its job: the job goes back to the head of its queue, or among the failed as poison.
-- Arguments: queue, id, execution id, cause, the poison's traceback (base64 of zlib); the writer of the history's line and the
--   payload, which are written only where the job was deleted or cancelled meanwhile.
-- Answer: queued, poison, gone (deleted meanwhile), or nothing where the lease was lost before.
local queue, id, execution = ARGV[2], ARGV[3], ARGV[4]
local verdict = lose(queue, id .. ':' .. execution, ARGV[5], ARGV[6], clock())
if not verdict or verdict == 'gone' then
  tell_if_abandoned(call('HGET', job_key(id), 'status'), execution, ARGV[7], ARGV[8])
end
return verdict
