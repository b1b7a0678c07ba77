-- A node takes no new sessions and hands over the present ones, or takes sessions again.
-- ARGV: id, 1 or 0. Answers 1, or 0 when there is no such live node.
local id, on = ARGV[1], ARGV[2]
local n = redis.call('HMGET', node_key(id), 'state', 'draining', 'name')
if n[1] ~= 'live' then return 0 end
if n[2] ~= on then
  redis.call('HSET', node_key(id), 'draining', on)
  redis.call(on == '1' and 'SADD' or 'SREM', key('draining'), id)
  reindex(id)
  changed()
end
if on == '1' then
  for _, session in ipairs(redis.call('SMEMBERS', key('on', id))) do move(session, id, 'moved: ' .. n[3] .. ' is draining') end
end
return 1
