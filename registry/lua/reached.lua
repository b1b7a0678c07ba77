-- The registry dialled nodes. ARGV: ms until those that were not reached are due again, ms for which a dead node is shown;
-- then for each: id, the URL that was dialled, 1 when it was reached, why it was not, 1 when nothing listens there.
-- The result of an address that is no longer the node's is passed over.
local due, keep = now + tonumber(ARGV[1]), tonumber(ARGV[2])

local function complained_of(id)
  return redis.call('ZCOUNT', key('failures', id), '(' .. integer(now - BLAMED), '+inf') > 0
end

local function note_reach(id, ok, reason, before, reason_before)
  local reach = ok and 'ok' or 'failed'
  if before ~= reach or reason_before ~= reason then
    redis.call('HSET', node_key(id), 'reach', reach, 'reach_reason', reason)
    if before ~= reach then redis.call('HSET', node_key(id), 'reach_since', now) end
    changed('node', id)
  end
  if not ok and complained_of(id) then blame(id, 'registry') end
  reindex(id)
end

for i = 3, #ARGV, 5 do
  local id, url, ok, reason, gone = ARGV[i], ARGV[i + 1], ARGV[i + 2] == '1', ARGV[i + 3], ARGV[i + 4] == '1'
  local n = redis.call('HMGET', node_key(id), 'state', 'url', 'reach', 'reach_reason')
  local live, suspect = n[1] == 'live', n[1] == 'suspect'
  if (live or suspect) and n[2] == url then
    if gone and (suspect or complained_of(id)) then
      local why = suspect and 'no beat for ' .. silence(id) or 'a viewer got no frames'
      bury(id, why .. ', and nothing listens at ' .. url, keep)
      redis.call('ZADD', key('lost'), now, id)
      count('nodes_died')
    else
      if live and ok then redis.call('ZREM', key('unreached'), id) else redis.call('ZADD', key('unreached'), due, id) end
      if live then note_reach(id, ok, reason, n[3], n[4]) end
    end
  end
end
return 1
