-- Put before every change that gives sessions to nodes: who is chosen, and why, in words.

local PAGE = 32 -- candidates read at once
local PAGES = 8 -- then give up: so many nodes in front can only be lapsed at once when a network is cut
local OTHERS = 6 -- nodes that the words mention besides the chosen one

-- How one node stands to being given a session: {id, name, free, slots, spare, against = words or nil}
local function standing(id, algorithm)
  local n = redis.call('HMGET', node_key(id), 'state', 'name', 'reach', 'draining', 'original', 'slots', 'direct',
    'load_fps', 'fps:' .. algorithm, 'reach_reason')
  local who = {id = id, name = n[2] or id, slots = number(n[6])}
  who.free = who.slots - slots_used(id, n[7])
  if n[9] and n[9] ~= '' then who.spare = math.max(0, math.floor(number(n[9]) - number(n[8]) + 0.5)) end
  if n[1] ~= 'live' then
    who.against = 'is gone'
  elseif redis.call('SISMEMBER', key('has', algorithm), id) == 0 then
    who.against = 'has no ' .. algorithm
  elseif n[5] == '1' then
    who.against = 'speaks the original\'s calls only'
  elseif number(redis.call('ZSCORE', key('alive'), id)) <= now then
    who.against = 'has not been heard of for a while'
  elseif n[3] == 'checking' then
    who.against = 'is being checked'
  elseif n[3] ~= 'ok' then
    who.against = 'is unreachable'
  elseif n[4] == '1' then
    who.against = 'is draining'
  elseif who.free <= 0 then
    who.against = 'is full'
  end
  return who
end

local function in_words(who)
  local text = who.name .. ': ' .. who.free .. ' of ' .. who.slots .. ' slots free'
  if who.spare then text = text .. ', ' .. who.spare .. ' fps to spare' end
  return text
end

-- Words on the nodes that have the algorithm and could not take the session.
local function refusals(algorithm, chosen, without)
  local list = {}
  for _, id in ipairs(redis.call('SRANDMEMBER', key('has', algorithm), OTHERS + 1)) do
    if id ~= chosen then
      local who = standing(id, algorithm)
      if id == without then who.against = 'is left out: it gave no frames' end
      if who.against and #list < OTHERS then list[#list + 1] = who.name .. ' ' .. who.against end
    end
  end
  table.sort(list)
  return list
end

-- The node for one more session: its id or nil, and why in words.
-- only: the one node that is wanted, or ''. without: a node that must not be chosen, or ''. fps: wanted, 0 for any.
local function choose(algorithm, only, without, fps)
  local chosen
  if only ~= '' then
    local who = standing(only, algorithm)
    if who.against then return nil, who.name .. ' ' .. who.against end
    if only == without then return nil, who.name .. ' is left out: it gave no frames' end
    return only, in_words(who) .. ' (asked for)'
  end
  for page = 0, PAGES - 1 do
    local ids = redis.call('ZRANGE', key('free', algorithm), page * PAGE, (page + 1) * PAGE - 1)
    for _, id in ipairs(ids) do
      if id ~= without then
        local who = standing(id, algorithm)
        if who.against == 'is full' then break end -- the rest is at least as loaded
        if not who.against then
          -- The least loaded node that keeps up wins; without any, the least loaded one does.
          if not who.spare or who.spare >= math.max(fps, 1) then
            chosen = who
            break
          end
          chosen = chosen or who
        end
      end
    end
    if #ids < PAGE or (chosen and (not chosen.spare or chosen.spare >= math.max(fps, 1))) then break end
  end
  local others = refusals(algorithm, chosen and chosen.id, without)
  if not chosen then
    if #others == 0 then others[1] = 'no node has ' .. algorithm .. ' now' end
    return nil, table.concat(others, '; ')
  end
  table.insert(others, 1, in_words(chosen))
  return chosen.id, table.concat(others, '; ')
end

-- Give a session to a node: from now on only the new token counts.
local function place(session, id, why)
  release(session)
  redis.call('SADD', key('on', id), session)
  redis.call('HSET', session_key(session), 'node', id, 'token', redis.call('INCR', key('token')), 'why', why,
    'fps_now', '0', 'problem', '')
  redis.call('HSET', node_key(id), 'turn', redis.call('INCR', key('turn')))
  redis.call('ZREM', key('waiting'), session)
  count('placements')
  reindex(id)
end

-- Seek another node than `without` for a session; true when there was one. The wanted node comes first while it can.
local function move(session, without, reason)
  local s = redis.call('HMGET', session_key(session), 'algorithm', 'only', 'max_fps')
  local id, why
  if s[2] ~= '' then id, why = choose(s[1], s[2], without, number(s[3])) end
  if not id then
    local wanted = why
    id, why = choose(s[1], '', without, number(s[3]))
    if wanted then why = why .. ' (asked for: ' .. wanted .. ')' end
  end
  if not id then return false, why end
  place(session, id, why)
  set_state(session, 'placed', reason)
  count('moves')
  return true, why
end

-- A session lost its node: give it another, or let it wait for one. `turned` names the reason.
local function displace(session, without, reason)
  release(session)
  local moved, why = move(session, without, 'moved: ' .. reason)
  if not moved then
    set_state(session, 'moving', reason .. '; waiting for a free slot: ' .. why)
    redis.call('ZADD', key('waiting'), now, session)
    if redis.call('HGET', session_key(session), 'pinned') ~= '1' then redis.call('ZADD', key('idle'), now, session) end
  end
end

-- A node is gone: take it out of everything and move its sessions.
local function bury(id, reason, keep)
  local name = redis.call('HGET', node_key(id), 'name') or id
  unlist(id)
  redis.call('HSET', node_key(id), 'state', 'dead', 'dead_at', now, 'dead_reason', reason)
  redis.call('ZREM', key('alive'), id)
  redis.call('ZREM', key('unreached'), id)
  redis.call('SREM', key('draining'), id)
  redis.call('ZADD', key('dead'), now + keep, id)
  for _, session in ipairs(redis.call('SMEMBERS', key('on', id))) do displace(session, id, name .. ' is gone: ' .. reason) end
  changed()
end

local function finish(session, reason, keep)
  release(session)
  for _, index in ipairs({'sessions', 'waiting', 'idle'}) do redis.call('ZREM', key(index), session) end
  local join = redis.call('HGET', session_key(session), 'join')
  if join and redis.call('HGET', key('joins'), join) == session then redis.call('HDEL', key('joins'), join) end
  redis.call('HSET', session_key(session), 'viewers', 0, 'fps_now', 0, 'problem', '')
  set_state(session, 'ended', reason)
  redis.call('ZADD', key('ended'), now + keep, session)
  count('sessions_ended')
end
