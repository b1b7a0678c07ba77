-- A node goes. ARGV: id, reason, ms for which it is still shown as dead. Answers 1, or 0 when it is unknown.
local state = redis.call('HGET', node_key(ARGV[1]), 'state')
if not state then return 0 end
if state ~= 'dead' then
  bury(ARGV[1], ARGV[2], tonumber(ARGV[3]))
  count('nodes_left')
end
return 1
