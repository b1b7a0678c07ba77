-- A node is alive, and this is what it does.
-- ARGV: id, boot, lease in ms, load as JSON, sessions' reports as JSON.
-- Answers {0} when it has to register again, else {1, draining, number of its orders, must be dialled at this URL or '',
-- {ids of reported sessions that nobody knows}, {a session that it should serve}...}
local id, boot, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local load, reports = cjson.decode(ARGV[4]), cjson.decode(ARGV[5])
local n = redis.call('HMGET', node_key(id), 'state', 'boot', 'draining', 'direct', 'no_signal', 'url', 'awaited', 'name')
if (n[1] ~= 'live' and n[1] ~= 'suspect') or n[2] ~= boot then return {0} end

redis.call('ZADD', key('alive'), now + lease, id)
if n[1] == 'suspect' then revive(id) end
redis.call('HSET', node_key(id), 'seen', now, 'direct', load.direct or 0, 'load_fps', load.fps or 0, 'no_signal', load.no_signal or '')
redis.call('HSET', key('vitals'), id, integer(now) .. ' ' .. ARGV[4])
count('beats')
if number(n[4]) ~= (load.direct or 0) then
  reindex(id)
  changed('node', id)
end
if (n[5] or '') ~= (load.no_signal or '') then changed('node', id) end

-- The registry lost its memory of a session, or of its last placement: the node that serves it knows better.
local function adopt(session, report, known)
  if not known then
    if report.ticket == nil then return false end
    local readable = pcall(function()
      local facts = cjson.decode(report.ticket)
      for _, name in ipairs({'join', 'camera', 'camera_name', 'camera_url', 'camera_original', 'algorithm'}) do
        assert(type(facts[name]) == 'string')
      end
      assert(type(facts.demand) == 'number' and terms(facts.require) and terms(facts.prefer))
      remember(session, facts, report.ticket)
    end)
    if not readable then return true end -- nobody will ever know it: the node gives it up
  else
    drop_next(session)
    release(session)
  end
  local wish = wish_of(session)
  local share = share_of(wish, id)
  new_token() -- makes the row where it is missing
  if number(redis.call('GET', key('token'))) < report.token then redis.call('SET', key('token'), integer(report.token)) end
  redis.call('HSET', session_key(session), 'node', id, 'token', integer(report.token), 'share', share, 'problem', '',
    'why', n[8] .. ' served it when the registry lost its memory')
  redis.call('ZREM', key('waiting'), session)
  hold(session, id, share)
  set_state(session, 'running', 'known again from ' .. n[8])
  count('adoptions')
  return true
end

local unknown = {}
for _, report in ipairs(reports) do
  local session = report.session_id
  local s = redis.call('HMGET', session_key(session), 'node', 'token', 'state', 'viewers', 'problem', 'pinned', 'next', 'next_token')
  if not s[3] then
    if not adopt(session, report, false) then unknown[#unknown + 1] = session end
  elseif s[3] ~= 'ended' and report.token > math.max(number(s[2]), number(s[8])) then
    adopt(session, report, true)
  end
  if s[1] ~= id then s = redis.call('HMGET', session_key(session), 'node', 'token', 'state', 'viewers', 'problem', 'pinned', 'next', 'next_token') end
  if s[1] == id and number(s[2]) == report.token then
    local viewers, problem = report.viewers or 0, report.problem or ''
    redis.call('HSET', session_key(session), 'viewers', viewers, 'problem', problem)
    redis.call('HSET', key('rates'), session, report.fps or 0)
    if s[3] == 'placed' then
      set_state(session, 'running', redis.call('HGET', session_key(session), 'state_reason') or '')
    elseif number(s[4]) ~= viewers or s[5] ~= problem then
      changed('session', session)
    end
    if viewers > 0 or s[6] == '1' then
      redis.call('ZREM', key('idle'), session)
    else
      redis.call('ZADD', key('idle'), 'NX', now, session)
    end
  elseif s[7] == id and number(s[8]) == report.token and report.ready then
    promote(session, 'moved: ' .. name_of(s[1]) .. ' is draining')
  end
end
if n[7] == '1' and #unknown == 0 then
  redis.call('HSET', node_key(id), 'awaited', '0')
  reindex(id)
  changed('node', id)
end

local m = redis.call('HMGET', node_key(id), 'orders', 'reach', 'url')
local answer = {1, n[3] == '1' and 1 or 0, m[1] or '0', n[1] == 'suspect' and m[3] or '', unknown}
for _, session in ipairs(redis.call('SMEMBERS', key('on', id))) do
  local s = redis.call('HMGET', session_key(session), 'token', 'camera', 'camera_name', 'camera_url', 'camera_original',
    'algorithm', 'width', 'height', 'max_fps', 'pinned', 'gate', 'next', 'next_token', 'ticket')
  if s[1] then
    local c = redis.call('HMGET', node_key(s[2]), 'name', 'url', 'original')
    if c[2] and (c[1] ~= s[3] or c[2] ~= s[4]) then
      -- Kept with the session too: a camera that is gone for long is forgotten, and may come back.
      redis.call('HSET', session_key(session), 'camera_name', c[1], 'camera_url', c[2], 'camera_original', c[3])
      s[3], s[4], s[5] = c[1], c[2], c[3]
    end
    local warm = s[12] == id
    answer[#answer + 1] = {session, warm and s[13] or s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11],
      warm and '1' or '0', s[14]}
  end
end
return answer
