-- A viewer gets no frames from the placement with this token: move the session, once for each token.
-- ARGV: session's id, token, who says so. Answers {what happened in words, {the session}}; {} when it is unknown.
local session, token, reporter = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local s = redis.call('HMGET', session_key(session), 'token', 'node', 'state', 'next')
if not s[3] then return {} end
if s[3] == 'ended' then return {'the session has ended', view(session)} end
if number(s[1]) ~= token then return {'already moved: this is the present placement', view(session)} end
if s[2] == '' then return {'waiting for a free slot', view(session)} end
local name = name_of(s[2])
local reason = 'moved: a viewer got no frames from ' .. name
local moved, why = true, ''
if s[4] and s[4] ~= '' then promote(session, reason) else moved, why = move(session, s[2], reason) end
blame(s[2], reporter)
if redis.call('HGET', node_key(s[2]), 'state') == 'live' then probe(s[2]) end
if moved then return {'moved', view(session)} end
count('refusals')
return {'stays on ' .. name .. ': no other node can take it: ' .. why, view(session)}
