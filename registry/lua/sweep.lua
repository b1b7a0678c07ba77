-- What has to happen without anybody asking. Several registries may run it at once: each run finds what is left.
-- ARGV: lease, idle time of a session, how long the dead are shown, how long the ended are shown (ms);
-- longest gap between two sweeps (ms). Answers how many nodes died, sessions ended, whether the network is suspected,
-- whether there is more to do; then id, URL, id, URL… of nodes whose lease has just ended.
local lease, idle, dead_keep, ended_keep, gap = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local BATCH = 64 -- of each kind in one run, so that Redis is never held for long
local FEW, PART = 3, 0.15 -- when more nodes than this, and this part of all, vanish in one window, it is the network
local FORGET = 900000 -- ms after which a suspect node is given up whatever is suspected
local AGAIN = 500 -- ms between two tries to find a node for a session
local died, ended, more = 0, 0, 0

local swept = redis.call('GET', key('swept'))
if swept and number(swept) > now + 1000 then
  -- Another Redis with a slower clock took over: what lies in its future would wait for it.
  for _, id in ipairs(redis.call('ZRANGE', key('alive'), 0, -1)) do redis.call('ZADD', key('alive'), now + lease, id) end
  for _, index in ipairs({'suspect', 'stranded', 'draining', 'unreached', 'waiting', 'warming', 'idle', 'ejected'}) do
    for _, id in ipairs(redis.call('ZRANGE', key(index), 0, -1)) do redis.call('ZADD', key(index), now, id) end
  end
end
redis.call('SET', key('swept'), integer(now))
-- When no sweep ran for a while, no registry did, and nobody could beat: give everybody a lease's time. So too when this
-- is another server than before, or the same one started anew: it need not know the latest beats.
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
local other = redis.call('GET', key('server')) ~= server
if other then redis.call('SET', key('server'), server) end
if not swept or other or math.abs(now - number(swept)) > gap then redis.call('SET', key('grace'), integer(now + lease), 'PX', gap + lease) end
local watching = number(redis.call('GET', key('grace'))) <= now

redis.call('ZREMRANGEBYSCORE', key('lost'), '-inf', now - 2 * lease)
local silent = watching and redis.call('ZCOUNT', key('alive'), '-inf', now) or 0
local gone = silent + redis.call('ZCARD', key('suspect')) + redis.call('ZCARD', key('lost'))
local all = redis.call('ZCARD', key('alive')) + redis.call('ZCARD', key('suspect')) + redis.call('ZCARD', key('lost'))
local preserving = gone >= FEW and gone > PART * all
if preserving ~= (redis.call('EXISTS', key('preserving')) == 1) then
  if preserving then redis.call('SET', key('preserving'), integer(now)) else redis.call('DEL', key('preserving')) end
  changed('mesh', 'preserving')
  if preserving then count('preservations') end
end

local answer = {}
if watching then
  local late = redis.call('ZRANGEBYSCORE', key('alive'), '-inf', now, 'LIMIT', 0, BATCH)
  if #late == BATCH then more = 1 end
  for _, id in ipairs(late) do
    local n = redis.call('HMGET', node_key(id), 'url', 'name', 'seen')
    local seen = string.match(redis.call('HGET', key('vitals'), id) or '', '^%d+')
    if number(seen) > number(n[3]) then redis.call('HSET', node_key(id), 'seen', seen) end
    redis.call('ZREM', key('alive'), id)
    redis.call('ZADD', key('suspect'), now, id)
    redis.call('ZADD', key('stranded'), now + STRANDED, id)
    redis.call('ZADD', key('unreached'), now + 2000, id)
    redis.call('HSET', node_key(id), 'state', 'suspect', 'suspect_at', now)
    reindex(id)
    changed('node', id)
    if not preserving then displace_all(id, n[2] .. ' is gone: no beat for ' .. silence(id)) end
    answer[#answer + 1] = id
    answer[#answer + 1] = n[1]
    count('nodes_suspected')
  end
end

local function give_up(id)
  bury(id, 'no beat for ' .. silence(id), dead_keep)
  redis.call('ZADD', key('lost'), now, id)
  count('nodes_died')
  died = died + 1
end
local doubted = redis.call('ZRANGEBYSCORE', key('suspect'), '-inf', now - (preserving and FORGET or lease), 'LIMIT', 0, BATCH)
for _, id in ipairs(doubted) do give_up(id) end
if #doubted == BATCH then more = 1 end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('originals'), '-inf', now, 'LIMIT', 0, BATCH)) do
  bury(id, 'not renewed for ' .. silence(id), dead_keep)
  count('nodes_died')
  died = died + 1
end

-- Its host may come back, but its viewers wait: move what can be moved.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('stranded'), '-inf', now, 'LIMIT', 0, 8)) do
  local name = name_of(id)
  for _, session in ipairs(redis.call('SMEMBERS', key('on', id))) do
    local s = redis.call('HMGET', session_key(session), 'node', 'next')
    local reason = name .. ' has not been heard of for ' .. silence(id)
    if s[1] ~= id then
      displace(session, id, reason)
    elseif s[2] and s[2] ~= '' then
      promote(session, 'moved: ' .. reason)
    else
      move(session, id, 'moved: ' .. reason)
    end
  end
  if redis.call('SCARD', key('on', id)) == 0 then
    redis.call('ZREM', key('stranded'), id)
  else
    redis.call('ZADD', key('stranded'), now + 10 * AGAIN, id)
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('ejected'), '-inf', now, 'LIMIT', 0, BATCH)) do
  redis.call('ZREM', key('ejected'), id)
  redis.call('HSET', node_key(id), 'out_until', '', 'out_reason', '')
  probe(id)
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('dead'), '-inf', now, 'LIMIT', 0, BATCH)) do
  redis.call('ZREM', key('dead'), id)
  redis.call('DEL', node_key(id))
  redis.call('HDEL', key('vitals'), id)
  changed('node', id)
end

local function finish_all(index, before, reason)
  for _, session in ipairs(redis.call('ZRANGEBYSCORE', key(index), '-inf', before, 'LIMIT', 0, BATCH)) do
    finish(session, reason, ended_keep)
    ended = ended + 1
  end
end
finish_all('idle', now - idle, 'nobody watched for ' .. math.floor(idle / 1000) .. ' s')
finish_all('expiring', now, 'its time was over')

for _, session in ipairs(redis.call('ZRANGEBYSCORE', key('ended'), '-inf', now, 'LIMIT', 0, BATCH)) do
  redis.call('ZREM', key('ended'), session)
  redis.call('DEL', session_key(session), key('history', session))
  changed('session', session)
end

for _, session in ipairs(redis.call('ZRANGEBYSCORE', key('warming'), '-inf', now, 'LIMIT', 0, BATCH)) do
  local s = redis.call('HMGET', session_key(session), 'next', 'node')
  drop_next(session)
  blame(s[1], 'registry')
  probe(s[1])
  if s[2] ~= '' then set_state(session, 'running', name_of(s[1]) .. ' was to take over and gave no frames') end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('draining'), '-inf', now - AGAIN, 'LIMIT', 0, 8)) do
  redis.call('ZADD', key('draining'), now, id)
  hand_all_over(id)
end

-- Those that were sought a node for the longest time ago come first, so that none starves behind hopeless ones.
for _, session in ipairs(redis.call('ZRANGEBYSCORE', key('waiting'), '-inf', now - AGAIN, 'LIMIT', 0, 32)) do
  if not move(session, '', 'moved: a slot is free again') then redis.call('ZADD', key('waiting'), now, session) end
end
return {died, ended, preserving and 1 or 0, more, unpack(answer)}
