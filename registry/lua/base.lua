-- Put before every change: keys, Redis's clock, and the words that several changes share.
--
-- KEYS[1] is the prefix of all keys; it carries the hash tag, so that one slot of a cluster holds them all.
--
--   P:node:<id>         hash    one node: what it said, how it does
--   P:alive             zset    id of each node that beats -> when its lease ends (ms)
--   P:originals         zset    the same for the original's nodes, which do not beat
--   P:suspect           zset    id of each node whose lease has ended -> since when (ms); given up a lease later
--   P:stranded          zset    id of each suspect node that may hold sessions -> when to move them (ms)
--   P:lost              zset    id of each node that was given up lately -> when (ms)
--   P:dead              zset    id of each dead node -> when it is forgotten (ms)
--   P:draining          zset    id of each node that hands its sessions over -> when that was tried last (ms)
--   P:ejected           zset    id of each node that is left out for its failures -> until when (ms)
--   P:unreached         zset    id of each node that was not reached yet -> when to try next (ms)
--   P:failures:<id>     zset    who reported a node lately -> when (ms)
--   P:kind:<kind>       set     ids of the nodes that are there
--   P:name:<kind>:<n>   set     ids of the nodes that people call so
--   P:label:<k>=<v>     set     ids of the nodes with this label
--   P:has:<algorithm>   set     ids of the nodes that have it
--   P:class:<alg>:<n>   set     ids of the nodes that run it at 2^n to 2^(n+1) frames a second
--   P:free:<algorithm>  zset    ids of the nodes that may be given sessions -> how loaded, then when used last
--   P:vitals            hash    id of a node -> when it was heard last (ms), and its load as JSON
--   P:session:<id>      hash    one session
--   P:history:<id>      list    its changes of state, as JSON
--   P:rates             hash    id of a session -> frames a second
--   P:sessions          zset    ids of sessions that go on -> when they began (ms)
--   P:ended             zset    ids of sessions that ended -> when they are forgotten (ms)
--   P:joins             hash    what was asked for -> id of the session that answers it
--   P:on:<node id>      set     ids of the sessions that hold a slot of a node
--   P:of:<camera id>    set     ids of the sessions that watch a camera
--   P:waiting           zset    ids of sessions that no node serves -> when a node was sought last (ms)
--   P:warming           zset    ids of sessions with a node that takes over soon -> by when it must (ms)
--   P:idle              zset    ids of sessions that nobody watches -> since when (ms)
--   P:expiring          zset    ids of sessions with a time to live -> when it ends (ms)
--   P:token, P:turn, P:orders   the last placement's token; the order in which nodes were used; numbers of orders
--   P:revision          integer grows by one with every change that somebody may want to know of
--   P:events            stream  those changes: what (k), its id (i), the revision (r)
--   P:counts            hash    what happened how often, since the data began
--   P:swept, P:grace    when the last sweep ran; until when nobody is declared gone (ms)
--   P:server            id of the Redis that the last sweep ran on
--   P:preserving        since when so many nodes are gone that the network is suspected (ms)
--   P:leader, P:secret  the registry that does the periodic work; what the registries share

local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local LOG = 20000 -- changes that are kept for those who follow them
local STEPS = 20 -- changes of state that are kept of one session

local function key(name, rest)
  if rest then return P .. ':' .. name .. ':' .. rest end
  return P .. ':' .. name
end

local function node_key(id) return key('node', id) end
local function session_key(id) return key('session', id) end

local function number(text) return tonumber(text or '') or 0 end

-- Lua writes numbers above 10^14 with an exponent, which Redis refuses as an integer.
local function integer(value) return string.format('%.0f', value) end

local function count(what, by) redis.call('HINCRBY', key('counts'), what, by or 1) end

-- The next number of a row that must never repeat, not even after a wipe: the first one is the time.
local function next_number(name, first)
  redis.call('SET', key(name), integer(first), 'NX')
  return redis.call('INCR', key(name))
end

-- Something changed that others may want to know of; once in each run, for they read it afterwards.
local told = {}
local function changed(kind, id)
  if told[kind .. id] then return end
  told[kind .. id] = true
  local revision = next_number('revision', clock[1] * 1000000 + clock[2])
  redis.call('XADD', key('events'), 'MAXLEN', '~', LOG, '*', 'k', kind, 'i', id, 'r', integer(revision))
end

-- What a node should be serving has changed.
local bumped = {}
local function bump(id)
  if id == '' or bumped[id] then return end
  bumped[id] = true
  redis.call('HSET', node_key(id), 'orders', integer(next_number('orders', now)))
  changed('node', id)
end

local function words(text)
  local list = {}
  for word in string.gmatch(text or '', '%S+') do list[#list + 1] = word end
  return list
end

local function at(ms)
  local seconds = math.floor(number(ms) / 1000) % 86400
  return string.format('%02d:%02d:%02d UTC', math.floor(seconds / 3600), math.floor(seconds / 60) % 60, seconds % 60)
end

local function name_of(id) return redis.call('HGET', node_key(id), 'name') or id end

local function class_of(fps)
  if not fps or fps <= 0 then return nil end
  return math.floor(math.log(fps) / math.log(2))
end

-- Put a node where placement looks for it, or take it away from there. Call it after each change of what it reads.
local function reindex(id)
  local n = redis.call('HMGET', node_key(id), 'state', 'reach', 'draining', 'original', 'slots', 'direct', 'turn', 'algorithms',
    'out_until', 'awaited', 'used')
  local slots, used = number(n[5]), redis.call('SCARD', key('on', id))
  if used ~= number(n[11]) then redis.call('HSET', node_key(id), 'used', used) end
  local placeable = n[1] == 'live' and n[2] == 'ok' and n[3] ~= '1' and n[4] ~= '1' and slots > 0 and n[10] ~= '1'
    and number(n[9]) <= now
  local score = 0
  if placeable then
    -- Load in thousandths first, the turn within equal load: 2^32 turns fit before the load's digits.
    score = math.floor((used + number(n[6])) * 1000 / slots) * 4294967296 + number(n[7]) % 4294967296
  end
  for _, algorithm in ipairs(words(n[8])) do
    if placeable then
      redis.call('ZADD', key('free', algorithm), integer(score), id)
    else
      redis.call('ZREM', key('free', algorithm), id)
    end
  end
end

-- Have a node dialled before it is given more.
local function probe(id)
  redis.call('HSET', node_key(id), 'reach', 'checking')
  redis.call('ZADD', key('unreached'), now, id)
  reindex(id)
  changed('node', id)
end

-- Take a node out of every index that is filled when it registers.
local function unlist(id)
  local n = redis.call('HMGET', node_key(id), 'kind', 'names', 'algorithms', 'labels')
  if not n[1] then return end
  redis.call('SREM', key('kind', n[1]), id)
  for _, algorithm in ipairs(words(n[3])) do
    redis.call('SREM', key('has', algorithm), id)
    redis.call('ZREM', key('free', algorithm), id)
    local class = class_of(number(redis.call('HGET', node_key(id), 'fps:' .. algorithm)))
    if class then redis.call('SREM', key('class', algorithm .. ':' .. class), id) end
  end
  for _, name in ipairs(cjson.decode(n[2] or '[]')) do redis.call('SREM', key('name', n[1] .. ':' .. name), id) end
  for _, label in ipairs(cjson.decode(n[4] or '[]')) do redis.call('SREM', key('label', label), id) end
end

-- Let a session hold a slot of a node; share: the part of the node's time that it may need.
local function hold(session, id, share)
  redis.call('SADD', key('on', id), session)
  redis.call('HINCRBYFLOAT', node_key(id), 'busy', share)
  redis.call('HSET', node_key(id), 'turn', integer(redis.call('INCR', key('turn'))))
  reindex(id)
  bump(id)
end

local function unhold(session, id, share)
  redis.call('SREM', key('on', id), session)
  if redis.call('EXISTS', node_key(id)) == 0 then return end
  if redis.call('SCARD', key('on', id)) == 0 then
    redis.call('HSET', node_key(id), 'busy', 0) -- sums of fractions drift
  else
    redis.call('HINCRBYFLOAT', node_key(id), 'busy', -share)
  end
  reindex(id)
  bump(id)
end

-- Free the slot that a session's coming node holds.
local function drop_next(session)
  local s = redis.call('HMGET', session_key(session), 'next', 'next_share')
  if not s[1] or s[1] == '' then return end
  unhold(session, s[1], number(s[2]))
  redis.call('HSET', session_key(session), 'next', '')
  redis.call('ZREM', key('warming'), session)
  changed('session', session)
end

-- Free the slot that a session holds on the node that serves it.
local function release(session)
  local s = redis.call('HMGET', session_key(session), 'node', 'share')
  if not s[1] or s[1] == '' then return end
  unhold(session, s[1], number(s[2]))
  redis.call('HSET', session_key(session), 'node', '')
end

local function set_state(session, state, reason)
  redis.call('HSET', session_key(session), 'state', state, 'state_reason', reason, 'changed', now)
  local node = redis.call('HGET', session_key(session), 'node')
  local step = {at = now / 1000, state = state, reason = reason}
  if node and node ~= '' then step.node = name_of(node) end
  redis.call('RPUSH', key('history', session), cjson.encode(step))
  redis.call('LTRIM', key('history', session), -STEPS, -1)
  changed('session', session)
end

-- A session as its reader wants it: its fields, then those of its nodes that its reader shows.
local function view(session)
  local fields = redis.call('HGETALL', session_key(session))
  if #fields == 0 then return fields end
  local s = redis.call('HMGET', session_key(session), 'node', 'camera')
  local n = redis.call('HMGET', node_key(s[1]), 'url', 'name')
  local c = redis.call('HMGET', node_key(s[2]), 'state', 'dead_reason')
  local more = {node_url = n[1], node_name = n[2], camera_state = c[1] or 'dead', camera_reason = c[2],
    fps_now = redis.call('HGET', key('rates'), session)}
  for name, value in pairs(more) do
    if value then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  return fields
end
