-- Put before every change: keys, Redis's clock, and the words that several changes share.
--
-- KEYS[1] is the prefix of all keys; it carries the hash tag, so that one slot of a cluster holds them all.
--
--   P:node:<id>        hash     one node: what it said, how it does
--   P:alive            zset     id of each live node -> when its lease ends (ms)
--   P:dead             zset     id of each dead node -> when it is forgotten (ms)
--   P:draining         set      ids of nodes that take no new sessions
--   P:unreached        zset     id of each node that was not reached yet -> when to try next (ms)
--   P:name:<kind>:<n>  set      ids of the live nodes that people call so
--   P:has:<algorithm>  set      ids of the live nodes that have it
--   P:free:<algorithm> zset     ids of the nodes that may be given sessions -> how loaded, then when used last
--   P:session:<id>     hash     one session
--   P:sessions         zset     ids of sessions that go on -> when they began (ms)
--   P:ended            zset     ids of sessions that ended -> when they are forgotten (ms)
--   P:joins            hash     what was asked for -> id of the session that answers it
--   P:on:<node id>     set      ids of the sessions that a node serves
--   P:waiting          zset     ids of sessions that no node serves -> when a node was sought last (ms)
--   P:idle             zset     ids of sessions that nobody watches -> since when (ms)
--   P:token, P:turn    integers the last placement's token; the order in which nodes were used
--   P:revision         integer  grows with every change that a list shows
--   P:counts           hash     what happened how often, since the data began
--   P:swept, P:grace   integers when the last sweep ran; until when nobody is declared dead (ms)

local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

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

-- Something changed that a list shows. The first revision is the time, so that none repeats after a wipe.
local function changed()
  if redis.call('EXISTS', key('revision')) == 0 then
    redis.call('SET', key('revision'), integer(clock[1] * 1000000 + clock[2]))
  end
  redis.call('INCR', key('revision'))
end

local function words(text)
  local list = {}
  for word in string.gmatch(text or '', '%S+') do list[#list + 1] = word end
  return list
end

local function slots_used(id, direct) return redis.call('SCARD', key('on', id)) + number(direct) end

-- Put a node where placement looks for it, or take it away from there. Call it after each change of what it reads.
local function reindex(id)
  local n = redis.call('HMGET', node_key(id), 'state', 'reach', 'draining', 'original', 'slots', 'direct', 'turn', 'algorithms')
  local slots = number(n[5])
  local placeable = n[1] == 'live' and n[2] == 'ok' and n[3] ~= '1' and n[4] ~= '1' and slots > 0
  local score = 0
  if placeable then
    -- Load in thousandths first, the turn within equal load: 2^32 turns fit before the load's digits.
    score = math.floor(slots_used(id, n[6]) * 1000 / slots) * 4294967296 + number(n[7]) % 4294967296
  end
  for _, algorithm in ipairs(words(n[8])) do
    if placeable then
      redis.call('ZADD', key('free', algorithm), integer(score), id)
    else
      redis.call('ZREM', key('free', algorithm), id)
    end
  end
end

-- Take a node out of every index that is filled when it registers.
local function unlist(id)
  local n = redis.call('HMGET', node_key(id), 'kind', 'names', 'algorithms')
  if not n[1] then return end
  for _, algorithm in ipairs(words(n[3])) do
    redis.call('SREM', key('has', algorithm), id)
    redis.call('ZREM', key('free', algorithm), id)
  end
  for _, name in ipairs(cjson.decode(n[2] or '[]')) do redis.call('SREM', key('name', n[1] .. ':' .. name), id) end
end

-- Free the slot that a session holds.
local function release(session)
  local id = redis.call('HGET', session_key(session), 'node')
  if id and id ~= '' then
    redis.call('SREM', key('on', id), session)
    redis.call('HSET', session_key(session), 'node', '')
    reindex(id)
  end
end

local function set_state(session, state, reason)
  redis.call('HSET', session_key(session), 'state', state, 'state_reason', reason, 'changed', now)
  changed()
end

-- A session as its reader wants it: its fields, then those of its nodes that its reader shows.
local function view(session)
  local fields = redis.call('HGETALL', session_key(session))
  if #fields == 0 then return fields end
  local s = redis.call('HMGET', session_key(session), 'node', 'camera')
  local n = redis.call('HMGET', node_key(s[1]), 'url', 'name')
  local c = redis.call('HMGET', node_key(s[2]), 'state', 'dead_reason')
  for name, value in pairs({node_url = n[1], node_name = n[2], camera_state = c[1] or 'dead', camera_reason = c[2]}) do
    if value then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  return fields
end
