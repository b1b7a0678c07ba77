-- Somebody wants an algorithm on a camera: join the session that does it, or place a new one.
-- ARGV: new session's id, what is asked for (equal requests join), camera's id, algorithm, wanted node's id or '',
-- width, height, fps (each '' for any), pinned 1 or 0, gate or ''.
-- Answers {'ok', {the session}}, {'full', why} or {'camera'} when the camera has just gone.
local session, join, camera, algorithm, only, pinned = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[9]
local present = redis.call('HGET', key('joins'), join)
if present and redis.call('ZSCORE', key('sessions'), present) then
  local s = redis.call('HMGET', session_key(present), 'node', 'state_reason', 'pinned')
  if pinned == '1' and s[3] ~= '1' then
    redis.call('HSET', session_key(present), 'pinned', '1')
    redis.call('ZREM', key('idle'), present)
    changed()
  end
  redis.call('ZADD', key('idle'), 'XX', now, present)
  if s[1] == '' then move(present, '', 'moved: a slot is free again') end
  count('joins')
  return {'ok', view(present)}
end

local c = redis.call('HMGET', node_key(camera), 'state', 'name', 'url', 'original')
if c[1] ~= 'live' then return {'camera'} end
local id, why = choose(algorithm, only, '', number(ARGV[8]))
if not id then
  count('refusals')
  return {'full', why}
end
redis.call('HSET', session_key(session), 'session_id', session, 'join', join, 'camera', camera, 'camera_name', c[2],
  'camera_url', c[3], 'camera_original', c[4], 'algorithm', algorithm, 'only', only, 'width', ARGV[6], 'height', ARGV[7],
  'max_fps', ARGV[8], 'pinned', pinned, 'gate', ARGV[10], 'created', now, 'viewers', 0, 'node', '')
redis.call('HSET', key('joins'), join, session)
redis.call('ZADD', key('sessions'), now, session)
if pinned ~= '1' then redis.call('ZADD', key('idle'), now, session) end
place(session, id, why)
set_state(session, 'placed', '')
return {'ok', view(session)}
