-- Look up the jobs that have not ended and are about some subjects, the newest first. Reads only.
-- Arguments: how many at most; then the subjects.
-- Answer: {status, job} of each, a job being {id, score or '', HMGET of FIELDS.SHOWN}.
local most, seen, found = tonumber(ARGV[2]), {}, {}
for i = 3, #ARGV do
  for _, id in ipairs(call('ZREVRANGE', KEY.ABOUT .. ARGV[i], 0, LIMIT.ABOUT_JOBS - 1)) do
    if #found == most then return found end
    local status = not seen[id] and call('HGET', job_key(id), 'status') or ''
    seen[id] = true
    if PENDING[status] then
      local origin = call('HGET', job_key(id), 'origin') or ''
      local score = status == 'scheduled' and call('ZSCORE', registry('scheduled', origin), id) or ''
      found[#found + 1] = {status, shown(status, id, score)}
    end
  end
end
return found
