-- A run that needed rq's code to end found that it had no right to decide: tell the history, where nobody else does.
-- Arguments: worker, queue, id, execution id, the writer of the history's line, the payload.
-- Answer: 1 where the job was deleted or cancelled, so that nothing of this run is kept, else 0.
local worker, queue, id, execution, line, data = unpack(ARGV, 2)
local status, entry = call('HGET', job_key(id), 'status'), id .. ':' .. execution
tell_if_abandoned(status, execution, line, data)
if not is_given_up(status) then return 0 end
call('ZREM', registry('wip', queue), entry)
forget(entry, id, execution, worker)
return 1
