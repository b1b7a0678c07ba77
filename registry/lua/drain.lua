-- A node takes no new sessions and hands over the present ones, or takes sessions again.
-- ARGV: id, 1 or 0. Answers 1, or 0 when there is no such node.
local id, on = ARGV[1], ARGV[2]
local n = redis.call('HMGET', node_key(id), 'state', 'draining')
if n[1] ~= 'live' and n[1] ~= 'suspect' then return 0 end
if n[2] ~= on then
  redis.call('HSET', node_key(id), 'draining', on)
  if on == '1' then redis.call('ZADD', key('draining'), now, id) else redis.call('ZREM', key('draining'), id) end
  reindex(id)
  bump(id)
end
if on == '1' then hand_all_over(id) end
return 1
