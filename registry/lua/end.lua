-- End a session. ARGV: its id, reason, ms for which it can still be read. Answers 1, or 0 when it is unknown.
local state = redis.call('HGET', session_key(ARGV[1]), 'state')
if not state then return 0 end
if state ~= 'ended' then finish(ARGV[1], ARGV[2], tonumber(ARGV[3])) end
return 1
