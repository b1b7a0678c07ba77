-- Cameras that people add, and the camera nodes that run them: what the scripts about them share.
--
--   P:camera:<id>       hash    one camera: what its host is told as JSON (wish), and what of it is read here
--   P:cameras           zset    ids of all cameras -> when they were added (ms)
--   P:drafts            zset    ids of those that are not saved -> when they are forgotten (ms)
--   P:removed           zset    ids of those that were removed lately -> when that is forgotten (ms)
--   P:unhosted          zset    ids of those that no host was found for -> when they were added (ms)
--   P:hosts             zset    id of each node that asks what to run -> when its cameras go to others (ms)
--   P:capacities        hash    id of such a node -> how many it can run
--   P:runs:<node id>    set     ids of the cameras that it is to run

local function camera_key(id) return key('camera', id) end

-- Let a camera have no host.
local function unhost(camera)
  local c = redis.call('HMGET', camera_key(camera), 'host', 'created')
  if c[1] and c[1] ~= '' then redis.call('SREM', key('runs', c[1]), camera) end
  redis.call('HSET', camera_key(camera), 'host', '', 'problem', '')
  redis.call('ZADD', key('unhosted'), c[2], camera)
  changed('camera', camera)
end

local function host_on(camera, host)
  redis.call('HSET', camera_key(camera), 'host', host, 'problem', '')
  redis.call('ZREM', key('unhosted'), camera)
  redis.call('SADD', key('runs', host), camera)
  changed('camera', camera)
end

local function forget_camera(camera)
  local host = redis.call('HGET', camera_key(camera), 'host')
  if host and host ~= '' then redis.call('SREM', key('runs', host), camera) end
  redis.call('DEL', camera_key(camera))
  for _, index in ipairs({'cameras', 'drafts', 'unhosted'}) do redis.call('ZREM', key(index), camera) end
  changed('camera', camera)
end

local function drop_drafts()
  for _, camera in ipairs(redis.call('ZRANGEBYSCORE', key('drafts'), '-inf', now)) do forget_camera(camera) end
end

-- Write down what is wanted of a camera; draft_ends: when it is forgotten, nil for a saved one.
local function write_camera(camera, revision, name, draft_ends, wish)
  if redis.call('ZADD', key('cameras'), 'NX', now, camera) == 1 then
    redis.call('HSET', camera_key(camera), 'created', now, 'host', '', 'problem', '', 'wanted', '', 'wanted_name', '')
    redis.call('ZADD', key('unhosted'), now, camera)
  end
  redis.call('HSET', camera_key(camera), 'revision', integer(revision), 'name', name, 'draft', draft_ends and '1' or '0',
    'wish', wish, 'changed', now)
  if draft_ends then redis.call('ZADD', key('drafts'), draft_ends, camera) else redis.call('ZREM', key('drafts'), camera) end
  changed('camera', camera)
end
