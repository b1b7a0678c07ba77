-- What has to happen without anybody asking. Several registries may run it at once: each run finds what is left.
-- ARGV: lease, idle time of a session, how long the dead are shown, how long the ended are shown (ms);
-- longest gap between two sweeps (ms). Answers how many nodes died, sessions ended.
local lease, idle, dead_keep, ended_keep, gap = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local BATCH = 256 -- of each kind in one run, so that Redis is never held for long
local died, ended = 0, 0

-- When no sweep ran for a while, no registry did, and nobody could beat: give everybody a lease's time.
local swept = redis.call('GET', key('swept'))
redis.call('SET', key('swept'), integer(now))
if not swept or now - number(swept) > gap then redis.call('SET', key('grace'), integer(now + lease)) end

if number(redis.call('GET', key('grace'))) <= now then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('alive'), '-inf', now, 'LIMIT', 0, BATCH)) do
    local n = redis.call('HMGET', node_key(id), 'seen', 'original')
    local silent = string.format('%.1f s', (now - number(n[1])) / 1000)
    bury(id, n[2] == '1' and 'not renewed for ' .. silent or 'no beat for ' .. silent, dead_keep)
    count('nodes_died')
    died = died + 1
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('dead'), '-inf', now, 'LIMIT', 0, BATCH)) do
  redis.call('ZREM', key('dead'), id)
  redis.call('DEL', node_key(id))
  changed()
end

for _, session in ipairs(redis.call('ZRANGEBYSCORE', key('idle'), '-inf', now - idle, 'LIMIT', 0, BATCH)) do
  finish(session, 'nobody watched for ' .. math.floor(idle / 1000) .. ' s', ended_keep)
  ended = ended + 1
end

for _, session in ipairs(redis.call('ZRANGEBYSCORE', key('ended'), '-inf', now, 'LIMIT', 0, BATCH)) do
  redis.call('ZREM', key('ended'), session)
  redis.call('DEL', session_key(session))
  changed()
end

for _, id in ipairs(redis.call('SMEMBERS', key('draining'))) do
  local name = redis.call('HGET', node_key(id), 'name') or id
  for _, session in ipairs(redis.call('SMEMBERS', key('on', id))) do move(session, id, 'moved: ' .. name .. ' is draining') end
end

-- Those that were sought a node for the longest time ago come first, so that none starves behind hopeless ones.
for _, session in ipairs(redis.call('ZRANGE', key('waiting'), 0, 63)) do
  if not move(session, '', 'moved: a slot is free again') then redis.call('ZADD', key('waiting'), now, session) end
end
return {died, ended}
