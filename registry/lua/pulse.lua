-- Many nodes are alive. ARGV: lease in ms, a JSON array with an array for each: id, boot, direct streams, frames a second,
-- why a camera has no signal or '', load as JSON. Answers the ids of those that must send a full beat.
-- Leases and loads are not written to disk or to replicas: ten thousand nodes would write megabytes a second, and after a
-- restart everybody gets a new lease anyway (see sweep.lua).
local lease, beats = now + tonumber(ARGV[1]), cjson.decode(ARGV[2])
local heard = integer(now) .. ' '
local answer = {}
for _, beat in ipairs(beats) do
  local id, direct, fps, no_signal = beat[1], tostring(beat[3]), tostring(beat[4]), beat[5]
  local n = redis.call('HMGET', node_key(id), 'state', 'boot', 'direct', 'load_fps', 'no_signal')
  if n[1] ~= 'live' or n[2] ~= beat[2] then
    answer[#answer + 1] = id
  else
    redis.set_repl(redis.REPL_NONE)
    redis.call('ZADD', key('alive'), 'XX', lease, id)
    redis.call('HSET', key('vitals'), id, heard .. beat[6])
    if n[4] ~= fps then redis.call('HSET', node_key(id), 'load_fps', fps) end
    redis.set_repl(redis.REPL_ALL)
    if n[3] ~= direct or (n[5] or '') ~= no_signal then
      redis.call('HSET', node_key(id), 'direct', direct, 'no_signal', no_signal)
      reindex(id)
      changed('node', id)
    end
  end
end
count('beats', #beats - #answer)
return answer
