-- A node sends its manifest, for the first time or again.
-- ARGV: id, document, facts as JSON, lease in ms, a word for this call. Answers {new?, must be dialled?}
local id, document, facts, lease, word = ARGV[1], ARGV[2], cjson.decode(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local old = redis.call('HMGET', node_key(id), 'state', 'boot', 'url', 'reach', 'document', 'name', 'welcome')
local known = old[1] == 'live' or old[1] == 'suspect'
local same_boot = known and old[2] == facts.boot

if known then unlist(id) end

local reach = old[4]
if facts.original or (facts.reached and not known) then
  reach = 'ok'
elseif not same_boot or old[3] ~= facts.url or old[1] == 'suspect' then
  reach = 'checking'
end

if not same_boot then
  -- It keeps what it was told, and not what was said against the process before it.
  local kept = known and redis.call('HMGET', node_key(id), 'draining', 'ejections', 'ejected_at') or {}
  redis.call('ZREM', key('ejected'), id)
  redis.call('DEL', key('failures', id))
  redis.call('DEL', node_key(id))
  redis.call('HSET', node_key(id), 'born', now, 'direct', 0, 'load_fps', 0, 'busy', 0, 'draining', kept[1] or '0',
    'ejections', kept[2] or 0, 'ejected_at', kept[3] or 0, 'out_until', '', 'out_reason', '', 'reach_reason', '', 'used', redis.call('SCARD', key('on', id)),
    -- It serves sessions that are not written down here: its next beat tells of them, and nothing is placed before.
    'awaited', facts.serving > 0 and '1' or '0')
  redis.call('HSET', key('vitals'), id, integer(now) .. ' {}')
  if facts.orders > 0 then redis.call('HSET', node_key(id), 'orders', integer(facts.orders)) end
end
local ids, fields = {}, {}
for _, algorithm in ipairs(facts.algorithms) do
  ids[#ids + 1] = algorithm.id
  fields[#fields + 1] = 'fps:' .. algorithm.id
  fields[#fields + 1] = algorithm.fps and tostring(algorithm.fps) or ''
end
if #fields > 0 then redis.call('HSET', node_key(id), unpack(fields)) end
redis.call('HSET', node_key(id), 'state', 'live', 'kind', facts.kind, 'name', facts.name, 'names', cjson.encode(facts.names),
  'labels', cjson.encode(facts.labels), 'boot', facts.boot, 'url', facts.url, 'slots', facts.slots,
  'original', facts.original and '1' or '0', 'algorithms', table.concat(ids, ' '), 'document', document, 'reach', reach,
  'seen', now, 'suspect_at', '', 'fps', facts.fps or '')
redis.call('ZADD', key(facts.original and 'originals' or 'alive'), now + lease, id)
for _, index in ipairs({'dead', 'suspect', 'stranded', 'lost'}) do redis.call('ZREM', key(index), id) end
redis.call('SADD', key('kind', facts.kind), id)
for _, name in ipairs(facts.names) do redis.call('SADD', key('name', facts.kind .. ':' .. name), id) end
for _, label in ipairs(facts.labels) do redis.call('SADD', key('label', label), id) end
for _, algorithm in ipairs(facts.algorithms) do
  redis.call('SADD', key('has', algorithm.id), id)
  local class = class_of(algorithm.fps)
  if class then redis.call('SADD', key('class', algorithm.id .. ':' .. class), id) end
end
-- A node that nobody dials (the process that should has died) is found by the job that looks here.
if reach == 'ok' then redis.call('ZREM', key('unreached'), id) else redis.call('ZADD', key('unreached'), now + 3000, id) end
reindex(id)

if not same_boot then displace_all(id, facts.name .. ' was started anew') end
if not same_boot or old[1] ~= 'live' or old[3] ~= facts.url or old[5] ~= document then changed('node', id) end
if facts.kind == 'camera' and (old[3] ~= facts.url or old[6] ~= facts.name) then
  -- Whoever fetches from it has to hear where it is now.
  for _, session in ipairs(redis.call('SMEMBERS', key('of', id))) do
    local s = redis.call('HMGET', session_key(session), 'node', 'next')
    bump(s[1] or '')
    bump(s[2] or '')
    changed('session', session)
  end
end
-- This script may run twice for one call: what was new the first time is new to the caller.
if not known then redis.call('HSET', node_key(id), 'welcome', word) end
count('registrations')
return {(not known or old[7] == word) and 1 or 0, reach == 'ok' and 0 or 1}
