-- The registry dialled a node. ARGV: id, the URL that was dialled, 1 or 0, reason, ms until the next try.
-- The result of an address that is no longer the node's is passed over.
local id, url, ok = ARGV[1], ARGV[2], ARGV[3] == '1'
local n = redis.call('HMGET', node_key(id), 'state', 'url', 'reach', 'reach_reason')
if n[1] ~= 'live' or n[2] ~= url then return 0 end
local reach = ok and 'ok' or 'failed'
if n[3] ~= reach or n[4] ~= ARGV[4] then
  redis.call('HSET', node_key(id), 'reach', reach, 'reach_reason', ARGV[4])
  changed()
end
if ok then
  redis.call('ZREM', key('unreached'), id)
else
  redis.call('ZADD', key('unreached'), now + tonumber(ARGV[5]), id)
end
reindex(id)
return 1
