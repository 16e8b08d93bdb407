-- A run that needed rq's code to end found that it had no right to decide: tell the history, where nobody else does.
-- Arguments: queue, id, execution id, the historian's line, the payload.
-- Answer: nothing.
local queue, id, execution, line, data = unpack(ARGV, 2)
local status = call('HGET', job_key(id), 'status')
if not status or status == 'canceled' then call('ZREM', registry('wip', queue), id .. ':' .. execution) end
tell_if_abandoned(status, execution, line, data)
