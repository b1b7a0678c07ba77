-- A viewer gets no frames from the placement with this token: move the session, once for each token.
-- ARGV: session's id, token. Answers {what happened in words, {the session}}; {} when it is unknown.
local session, token = ARGV[1], tonumber(ARGV[2])
local s = redis.call('HMGET', session_key(session), 'token', 'node', 'state')
if not s[3] then return {} end
if s[3] == 'ended' then return {'the session has ended', view(session)} end
if number(s[1]) ~= token then return {'already moved: this is the present placement', view(session)} end
if s[2] == '' then return {'waiting for a free slot', view(session)} end
local name = redis.call('HGET', node_key(s[2]), 'name') or s[2]
local moved, why = move(session, s[2], 'moved: a viewer got no frames from ' .. name)
if moved then return {'moved', view(session)} end
count('refusals')
return {'stays on ' .. name .. ': no other node can take it: ' .. why, view(session)}
