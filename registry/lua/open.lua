-- Somebody wants an algorithm on a camera: join the session that does it, or place a new one.
-- ARGV: new session's id, what is asked for (equal requests join), the wish as JSON.
-- Answers {'ok', {the session}}, {'full', why} or {'camera'} when the camera has just gone.
local session, join, asked = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local present = redis.call('HGET', key('joins'), join)
if present and redis.call('ZSCORE', key('sessions'), present) then
  local s = redis.call('HMGET', session_key(present), 'node', 'pinned', 'next', 'ticket')
  if asked.pinned and s[2] ~= '1' then
    local ticket = cjson.decode(s[4])
    ticket.pinned = true
    redis.call('HSET', session_key(present), 'pinned', '1', 'ticket', cjson.encode(ticket))
    redis.call('ZREM', key('idle'), present)
    bump(s[1])
    bump(s[3])
    changed('session', present)
  end
  redis.call('ZADD', key('idle'), 'XX', now, present)
  if s[1] == '' then move(present, '', 'moved: a slot is free again') end
  count('joins')
  return {'ok', view(present)}
end

local c = redis.call('HMGET', node_key(asked.camera), 'state', 'name', 'url', 'original', 'fps')
if c[1] ~= 'live' and c[1] ~= 'suspect' then return {'camera'} end
local demand = number(c[5])
if asked.fps and (demand == 0 or asked.fps < demand) then demand = asked.fps end
local wish = {algorithm = asked.algorithm, only = asked.only or '', demand = demand, require = terms(asked.require),
  prefer = terms(asked.prefer), speed = asked.speed}
local chosen, why = choose(wish, '')
if not chosen and not asked.wait then
  count('refusals')
  return {'full', why}
end
asked.join, asked.demand, asked.created = join, demand, now
asked.camera_name, asked.camera_url, asked.camera_original = c[2], c[3], c[4]
if asked.ttl then asked.expires = now + math.floor(asked.ttl * 1000) end
remember(session, asked, cjson.encode(asked))
if chosen then
  place(session, chosen.id, why, wish)
  set_state(session, 'placed', '')
else
  redis.call('HSET', session_key(session), 'why', why, 'token', 0)
  redis.call('ZADD', key('waiting'), now, session)
  set_state(session, 'requested', 'waiting for a free slot: ' .. why)
end
return {'ok', view(session)}
