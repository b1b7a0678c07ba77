-- The registry dialled a node. ARGV: id, the URL that was dialled, 1 or 0, reason, ms until the next try,
-- 1 when nothing listens there, ms for which a dead node is shown.
-- The result of an address that is no longer the node's is passed over.
local id, url, ok, gone = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[6] == '1'
local n = redis.call('HMGET', node_key(id), 'state', 'url', 'reach', 'reach_reason')
if (n[1] ~= 'live' and n[1] ~= 'suspect') or n[2] ~= url then return 0 end
if n[1] == 'suspect' then
  if gone then
    bury(id, 'no beat for ' .. silence(id) .. ', and nothing listens at ' .. url, tonumber(ARGV[7]))
    redis.call('ZADD', key('lost'), now, id)
    count('nodes_died')
  else
    redis.call('ZADD', key('unreached'), now + tonumber(ARGV[5]), id)
  end
  return 1
end
local reach = ok and 'ok' or 'failed'
if n[3] ~= reach or n[4] ~= ARGV[4] then
  redis.call('HSET', node_key(id), 'reach', reach, 'reach_reason', ARGV[4])
  if n[3] ~= reach then redis.call('HSET', node_key(id), 'reach_since', now) end
  changed('node', id)
end
if ok then
  redis.call('ZREM', key('unreached'), id)
else
  redis.call('ZADD', key('unreached'), now + tonumber(ARGV[5]), id)
  if redis.call('ZCOUNT', key('failures', id), '(' .. integer(now - BLAMED), '+inf') > 0 then blame(id, 'registry') end
end
reindex(id)
return 1
