-- Whether this registry does the periodic work. ARGV: its id, ms for which that holds. Answers 1 or 0.
local leader = redis.call('GET', key('leader'))
if leader and leader ~= ARGV[1] then return 0 end
redis.call('SET', key('leader'), ARGV[1], 'PX', ARGV[2])
return 1
