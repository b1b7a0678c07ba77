-- A node sends its manifest, for the first time or again.
-- ARGV: id, document, facts as JSON, lease in ms. Answers {new?, must be dialled?}
local id, document, facts, lease = ARGV[1], ARGV[2], cjson.decode(ARGV[3]), tonumber(ARGV[4])
local old = redis.call('HMGET', node_key(id), 'state', 'boot', 'url', 'reach', 'document')
local known = old[1] == 'live'
local same_boot = known and old[2] == facts.boot

if known then unlist(id) end

local reach = old[4]
if facts.original then
  reach = 'ok'
elseif not same_boot or old[3] ~= facts.url then
  reach = 'checking'
end

local ids = {}
local fields = {}
for _, algorithm in ipairs(facts.algorithms) do
  ids[#ids + 1] = algorithm.id
  fields[#fields + 1] = 'fps:' .. algorithm.id
  fields[#fields + 1] = algorithm.fps and tostring(algorithm.fps) or ''
end
if not same_boot then
  local draining = known and redis.call('HGET', node_key(id), 'draining') or '0'
  redis.call('DEL', node_key(id))
  redis.call('HSET', node_key(id), 'born', now, 'load', '{}', 'direct', 0, 'load_fps', 0, 'draining', draining, 'reach_reason', '')
end
redis.call('HSET', node_key(id), 'state', 'live', 'kind', facts.kind, 'name', facts.name, 'names', cjson.encode(facts.names),
  'boot', facts.boot, 'url', facts.url, 'slots', facts.slots, 'original', facts.original and '1' or '0',
  'algorithms', table.concat(ids, ' '), 'document', document, 'reach', reach, 'seen', now)
if #fields > 0 then redis.call('HSET', node_key(id), unpack(fields)) end
redis.call('ZADD', key('alive'), now + lease, id)
redis.call('ZREM', key('dead'), id)
for _, name in ipairs(facts.names) do redis.call('SADD', key('name', facts.kind .. ':' .. name), id) end
for _, algorithm in ipairs(ids) do redis.call('SADD', key('has', algorithm), id) end
-- A node that nobody dials (the process that should has died) is found by the job that looks here.
if reach == 'ok' then redis.call('ZREM', key('unreached'), id) else redis.call('ZADD', key('unreached'), now + 3000, id) end
reindex(id)

if not same_boot then
  for _, session in ipairs(redis.call('SMEMBERS', key('on', id))) do displace(session, '', facts.name .. ' was started anew') end
end
if not same_boot or old[3] ~= facts.url or old[5] ~= document then changed() end
count('registrations')
return {known and 0 or 1, reach == 'ok' and 0 or 1}
