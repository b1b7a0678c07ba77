-- The nodes that have to be dialled again now. ARGV: how many at most, ms for which nobody else shall take them.
-- Answers id, URL, id, URL...
local answer = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('unreached'), '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local n = redis.call('HMGET', node_key(id), 'state', 'url')
  if n[1] == 'live' or n[1] == 'suspect' then
    redis.call('ZADD', key('unreached'), now + tonumber(ARGV[2]), id)
    answer[#answer + 1] = id
    answer[#answer + 1] = n[2]
  else
    redis.call('ZREM', key('unreached'), id)
  end
end
return answer
