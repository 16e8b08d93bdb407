-- Run commands also where Redis is at its memory limit, in one step.
-- Arguments: per command how many words it has, then these.
-- Answer: how many were run.
insist()
local at, count = 2, 0
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  call(unpack(ARGV, at + 1, at + words))
  at, count = at + words + 1, count + 1
end
return count
