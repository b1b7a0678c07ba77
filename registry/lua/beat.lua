-- A node is alive, and this is what it does.
-- ARGV: id, boot, lease in ms, load as JSON, sessions' reports as JSON.
-- Answers {0} when it has to register again, else {1, draining, {a session that it should serve}...}
local id, boot, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local load, reports = cjson.decode(ARGV[4]), cjson.decode(ARGV[5])
local n = redis.call('HMGET', node_key(id), 'state', 'boot', 'draining', 'direct', 'no_signal')
if n[1] ~= 'live' or n[2] ~= boot then return {0} end

redis.call('ZADD', key('alive'), 'XX', now + lease, id)
redis.call('HSET', node_key(id), 'seen', now, 'load', ARGV[4], 'direct', load.direct or 0, 'load_fps', load.fps or 0,
  'no_signal', load.no_signal or '')
count('beats')
if number(n[4]) ~= (load.direct or 0) then
  reindex(id)
  changed()
end
if (n[5] or '') ~= (load.no_signal or '') then changed() end

for _, report in ipairs(reports) do
  local session = report.session_id
  local s = redis.call('HMGET', session_key(session), 'node', 'token', 'state', 'viewers', 'problem', 'pinned')
  if s[1] == id and number(s[2]) == report.token then
    local viewers, problem = report.viewers or 0, report.problem or ''
    redis.call('HSET', session_key(session), 'viewers', viewers, 'fps_now', report.fps or 0, 'problem', problem)
    if s[3] ~= 'running' then
      set_state(session, 'running', '')
    elseif number(s[4]) ~= viewers or s[5] ~= problem then
      changed()
    end
    if viewers > 0 or s[6] == '1' then
      redis.call('ZREM', key('idle'), session)
    else
      redis.call('ZADD', key('idle'), 'NX', now, session)
    end
  end
end

local answer = {1, n[3] == '1' and 1 or 0}
for _, session in ipairs(redis.call('SMEMBERS', key('on', id))) do
  local s = redis.call('HMGET', session_key(session), 'token', 'camera', 'camera_name', 'camera_url', 'camera_original',
    'algorithm', 'width', 'height', 'max_fps', 'pinned', 'gate')
  if s[1] then
    local c = redis.call('HMGET', node_key(s[2]), 'name', 'url', 'original')
    if c[2] and (c[1] ~= s[3] or c[2] ~= s[4]) then
      -- Kept with the session too: a camera that is gone for long is forgotten, and may come back.
      redis.call('HSET', session_key(session), 'camera_name', c[1], 'camera_url', c[2], 'camera_original', c[3])
      s[3], s[4], s[5] = c[1], c[2], c[3]
    end
    answer[#answer + 1] = {session, unpack(s)}
  end
end
return answer
