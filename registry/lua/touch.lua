-- A viewer comes or comes back: the session is not idle. ARGV: its id. Answers its fields.
redis.call('ZADD', key('idle'), 'XX', now, ARGV[1])
local s = redis.call('HMGET', session_key(ARGV[1]), 'node', 'state')
if s[1] == '' and s[2] ~= 'ended' then move(ARGV[1], '', 'moved: a slot is free again') end
return view(ARGV[1])
