-- Put before every change that moves sessions: placing, moving with and without a gap, ending; and what becomes of nodes.

local WARM = 15000 -- ms within which a node that takes over must have pictures
local STRANDED = 15000 -- ms after which the sessions of a suspect node are moved although the network is suspected
local BLAMED = 60000 -- ms for which a report on a node counts
local EJECTED, MOST_EJECTED = 10000, 300000 -- ms that a node is left out the first time, and at most
local REFORMED = 600000 -- ms after which earlier ejections count no more
local SHARE = 0.34 -- the part of the compute nodes that may be left out at once

-- Give a session to a node: from now on only the new token counts.
local function place(session, id, why, wish)
  release(session)
  local share = share_of(wish, id)
  redis.call('HSET', session_key(session), 'node', id, 'token', new_token(), 'why', why, 'share', share, 'problem', '')
  redis.call('HDEL', key('rates'), session)
  redis.call('ZREM', key('waiting'), session)
  hold(session, id, share)
  count('placements')
end

-- Count a move, also by what led to it. reason: in the words that the session shows, as they are made here and beside
-- the callers of `move` and `promote`; what is none of the first four is that its node is gone.
local function count_move(reason)
  local cause = 'gone'
  if string.find(reason, '^moved: a viewer got no frames from ') then
    cause = 'no frames'
  elseif reason == 'moved: a slot is free again' then
    cause = 'slot free'
  elseif string.find(reason, ' is draining$') then
    cause = 'draining'
  elseif string.find(reason, ' was started anew$') then
    cause = 'restart'
  end
  count('moves')
  count('moves: ' .. cause)
end

-- The wanted node comes first while it can; when it cannot, the picture matters more than the wish.
local function seek(wish, without)
  local id, why = choose(wish, without)
  if id or wish.only == '' then return id, why end
  local wanted = why
  local any = {algorithm = wish.algorithm, only = '', demand = wish.demand, require = wish.require, prefer = wish.prefer,
    speed = wish.speed}
  id, why = choose(any, without)
  return id, why .. ' (asked for: ' .. wanted .. ')'
end

-- Seek another node than `without` for a session; true when there was one.
local function move(session, without, reason)
  local wish = wish_of(session)
  local chosen, why = seek(wish, without)
  if not chosen then return false, why end
  place(session, chosen.id, why, wish)
  set_state(session, 'placed', reason)
  count_move(reason)
  return true, why
end

-- The node that runs a session already takes it over.
local function promote(session, reason)
  local s = redis.call('HMGET', session_key(session), 'next', 'next_token', 'next_share', 'next_why')
  release(session)
  redis.call('HSET', session_key(session), 'node', s[1], 'token', s[2], 'share', s[3], 'why', s[4], 'next', '', 'problem', '')
  redis.call('ZREM', key('warming'), session)
  bump(s[1])
  set_state(session, 'running', reason)
  count_move(reason)
end

-- Move a session without a gap: another node runs it first. True when that has begun, or was done at once because
-- nobody would see a gap.
local function hand_over(session, from, reason)
  local s = redis.call('HMGET', session_key(session), 'next', 'state', 'viewers', 'pinned')
  if s[1] and s[1] ~= '' then return true end
  if s[2] ~= 'running' or (number(s[3]) == 0 and s[4] ~= '1') then return (move(session, from, 'moved: ' .. reason)) end
  local wish = wish_of(session)
  local chosen, why = seek(wish, from)
  if not chosen then return false end
  local share = share_of(wish, chosen.id)
  redis.call('HSET', session_key(session), 'next', chosen.id, 'next_token', new_token(), 'next_share', share, 'next_why', why)
  redis.call('ZADD', key('warming'), now + WARM, session)
  hold(session, chosen.id, share)
  count('placements')
  set_state(session, 'moving', 'moving to ' .. chosen.name .. ': ' .. reason)
  return true
end

-- A session lost its node: give it another, or let it wait for one.
local function displace(session, id, reason)
  local s = redis.call('HMGET', session_key(session), 'node', 'next', 'pinned')
  if s[2] == id then
    drop_next(session)
    if s[1] ~= '' then set_state(session, 'running', reason) end
    return
  end
  if s[1] ~= id then return end
  if s[2] and s[2] ~= '' then return promote(session, 'moved: ' .. reason) end
  release(session)
  local moved, why = move(session, id, 'moved: ' .. reason)
  if not moved then
    set_state(session, 'moving', reason .. '; waiting for a free slot: ' .. why)
    redis.call('ZADD', key('waiting'), now, session)
    if s[3] ~= '1' then redis.call('ZADD', key('idle'), now, session) end
  end
end

local function displace_all(id, reason)
  for _, session in ipairs(redis.call('SMEMBERS', key('on', id))) do displace(session, id, reason) end
end

-- A node drains: what it serves moves without a gap, what it was to take over stays where it runs.
local function hand_all_over(id)
  local reason = name_of(id) .. ' is draining'
  for _, session in ipairs(redis.call('SMEMBERS', key('on', id))) do
    if redis.call('HGET', session_key(session), 'next') == id then
      displace(session, id, reason)
    else
      hand_over(session, id, reason)
    end
  end
end

-- A node is gone: take it out of everything and move its sessions.
local function bury(id, reason, keep)
  local name = name_of(id)
  unlist(id)
  redis.call('HSET', node_key(id), 'state', 'dead', 'dead_at', now, 'dead_reason', reason)
  for _, index in ipairs({'alive', 'originals', 'suspect', 'stranded', 'unreached', 'draining', 'ejected'}) do
    redis.call('ZREM', key(index), id)
  end
  redis.call('DEL', key('failures', id))
  redis.call('ZADD', key('dead'), now + keep, id)
  displace_all(id, name .. ' is gone: ' .. reason)
  changed('node', id)
end

-- A node is heard of again after its lease had ended. It is dialled before it gets more.
local function revive(id)
  redis.call('ZREM', key('suspect'), id)
  redis.call('ZREM', key('stranded'), id)
  redis.call('HSET', node_key(id), 'state', 'live', 'suspect_at', '')
  probe(id)
end

local function silence(id)
  return string.format('%.1f s', (now - number(redis.call('HGET', node_key(id), 'seen'))) / 1000)
end

-- Leave a node out for a while, the longer the more often; never so many that little is left.
local function eject(id, reason)
  local n = redis.call('HMGET', node_key(id), 'ejections', 'ejected_at')
  local computes, out = redis.call('SCARD', key('kind', 'compute')), redis.call('ZCARD', key('ejected'))
  if computes - out <= 1 or out >= math.max(1, math.floor(computes * SHARE)) then return end
  local times = now - number(n[2]) > REFORMED and 1 or number(n[1]) + 1
  local stop = now + math.min(MOST_EJECTED, EJECTED * 2 ^ (times - 1))
  redis.call('ZADD', key('ejected'), stop, id)
  redis.call('HSET', node_key(id), 'out_until', integer(stop), 'out_reason', reason, 'ejections', times, 'ejected_at', now)
  redis.call('DEL', key('failures', id))
  reindex(id)
  changed('node', id)
  count('ejections')
end

-- Somebody says that a node gives no frames. One alone has it dialled; several have it left out.
local function blame(id, reporter)
  redis.call('ZREMRANGEBYSCORE', key('failures', id), '-inf', now - BLAMED)
  redis.call('ZADD', key('failures', id), now, reporter)
  redis.call('PEXPIRE', key('failures', id), BLAMED)
  local reports = redis.call('ZCARD', key('failures', id))
  if reports >= 2 then eject(id, reports .. ' reports of missing frames within a minute') end
end

local function finish(session, reason, keep)
  drop_next(session)
  release(session)
  for _, index in ipairs({'sessions', 'waiting', 'idle', 'expiring'}) do redis.call('ZREM', key(index), session) end
  local s = redis.call('HMGET', session_key(session), 'join', 'camera')
  if s[1] and redis.call('HGET', key('joins'), s[1]) == session then redis.call('HDEL', key('joins'), s[1]) end
  if s[2] then redis.call('SREM', key('of', s[2]), session) end
  redis.call('HDEL', key('rates'), session)
  redis.call('HSET', session_key(session), 'viewers', 0, 'problem', '')
  set_state(session, 'ended', reason)
  redis.call('ZADD', key('ended'), now + keep, session)
  count('sessions_ended')
end

-- Write down a session. facts: what its ticket holds.
local function remember(session, facts, ticket)
  local camera = facts.camera
  redis.call('HSET', session_key(session), 'session_id', session, 'join', facts.join, 'camera', camera,
    'camera_name', facts.camera_name, 'camera_url', facts.camera_url, 'camera_original', facts.camera_original,
    'algorithm', facts.algorithm, 'only', facts.only or '', 'width', facts.width or '', 'height', facts.height or '',
    'max_fps', facts.fps or '', 'demand', facts.demand, 'pinned', facts.pinned and '1' or '0', 'gate', facts.gate or '',
    'require', facts.require or '{}', 'prefer', facts.prefer or '{}', 'speed', facts.speed or 'any',
    'created', integer(facts.created), 'expires', facts.expires and integer(facts.expires) or '', 'ticket', ticket,
    'viewers', 0, 'node', '', 'next', '')
  if redis.call('HEXISTS', key('joins'), facts.join) == 0 then redis.call('HSET', key('joins'), facts.join, session) end
  redis.call('ZADD', key('sessions'), integer(facts.created), session)
  redis.call('SADD', key('of', camera), session)
  if facts.expires then redis.call('ZADD', key('expiring'), integer(facts.expires), session) end
  if not facts.pinned then redis.call('ZADD', key('idle'), now, session) end
end
