-- Somebody adds a camera or changes one. ARGV: id, the revision that it has now (0 for a new one), the one it gets, name,
-- 1 for a draft, the node that it is bound to or '', that node's name, the wish as JSON, ms for which a draft is kept, how
-- many cameras there may be. Answers {what came of it, the camera that has the name}.
local camera, expected, revision, name, draft = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5] == '1'
local wanted, wish = ARGV[6], ARGV[8]
drop_drafts()
local c = redis.call('HMGET', camera_key(camera), 'revision', 'wish', 'host')
-- This script may run twice for one call: then it finds what it has written.
local again = number(c[1]) == revision and c[2] == wish
if not c[1] and expected > 0 then return {'unknown', ''} end
if number(c[1]) ~= expected and not again then return {'changed', ''} end
if not c[1] and redis.call('ZCARD', key('cameras')) >= tonumber(ARGV[10]) then return {'full', ''} end
if not draft then
  for _, other in ipairs(redis.call('ZRANGE', key('cameras'), 0, -1)) do
    local o = redis.call('HMGET', camera_key(other), 'name', 'draft')
    if other ~= camera and o[1] == name and o[2] == '0' then return {'taken', other} end
  end
end
write_camera(camera, revision, name, draft and now + tonumber(ARGV[9]) or nil, wish)
redis.call('HSET', camera_key(camera), 'wanted', wanted, 'wanted_name', ARGV[7])
if c[3] and c[3] ~= '' and wanted ~= '' and c[3] ~= wanted then unhost(camera) end
return {'stored', ''}
