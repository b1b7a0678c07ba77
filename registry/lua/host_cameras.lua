-- A host asks what it is to run, and says what it runs. ARGV: id, boot, ms until others get its cameras, its capacity,
-- longest gap between two sweeps (ms), how many cameras there may be, problems as JSON (id of a camera -> words), the
-- cameras that it runs as a JSON array with an array for each: id, revision, name, whether it is a draft, the wish as JSON.
-- Answers {0} when it has to register again, else {1, the wish of a camera...}, the oldest first.
local id, boot, lease, capacity, gap = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local most, problems, reports = tonumber(ARGV[6]), cjson.decode(ARGV[7]), cjson.decode(ARGV[8])

local function there(node)
  local state = redis.call('HGET', node_key(node), 'state')
  return state == 'live' or state == 'suspect'
end

if not there(id) or redis.call('HGET', node_key(id), 'boot') ~= boot then return {0} end
drop_drafts()

-- What the store has lost, the hosts know.
local runs = {}
for _, report in ipairs(reports) do
  local camera, revision, name, draft, wish = unpack(report)
  runs[camera] = true
  local known = number(redis.call('HGET', camera_key(camera), 'revision'))
  local removed = number(redis.call('ZSCORE', key('removed'), camera)) > now
  local room = known > 0 or redis.call('ZCARD', key('cameras')) < most
  if not draft and not removed and room and known < revision then
    write_camera(camera, revision, name, nil, wish)
  end
end

-- While no sweep runs no registry does, and nobody could ask.
local swept = number(redis.call('GET', key('swept')))
local watching = math.abs(now - swept) <= gap and number(redis.call('GET', key('grace'))) <= now
local ends = redis.call('ZRANGE', key('hosts'), 0, -1, 'WITHSCORES')
for i = 1, #ends, 2 do
  local host = ends[i]
  if host ~= id and (not there(host) or (watching and tonumber(ends[i + 1]) <= now)) then
    for _, camera in ipairs(redis.call('SMEMBERS', key('runs', host))) do unhost(camera) end
    redis.call('ZREM', key('hosts'), host)
    redis.call('HDEL', key('capacities'), host)
    changed('camera', '')
  end
end
redis.call('ZADD', key('hosts'), now + lease, id)
if redis.call('HGET', key('capacities'), id) ~= ARGV[4] then
  redis.call('HSET', key('capacities'), id, ARGV[4])
  changed('camera', '')
end

local function mine()
  local list = {}
  for _, camera in ipairs(redis.call('SMEMBERS', key('runs', id))) do
    list[#list + 1] = {number(redis.call('ZSCORE', key('cameras'), camera)), camera}
  end
  table.sort(list, function(a, b) if a[1] ~= b[1] then return a[1] < b[1] end return a[2] < b[2] end)
  return list
end

local own = mine()
for i = capacity + 1, #own do unhost(own[i][2]) end

local homeless = redis.call('ZRANGE', key('unhosted'), 0, -1)
if #homeless > 0 then
  local room, running, order = {}, {}, {}
  for _, host in ipairs(redis.call('ZRANGE', key('hosts'), 0, -1)) do
    local most = number(redis.call('HGET', key('capacities'), host))
    if not there(host) or redis.call('HGET', node_key(host), 'draining') == '1' then most = 0 end
    running[host] = redis.call('SCARD', key('runs', host))
    room[host] = most - running[host]
    order[#order + 1] = host
  end
  table.sort(order)
  local function give(camera, host)
    host_on(camera, host)
    room[host], running[host] = room[host] - 1, running[host] + 1
  end
  local function emptiest()
    local best
    for _, host in ipairs(order) do
      if room[host] > 0 and (not best or running[host] < running[best]) then best = host end
    end
    return best
  end
  -- Those that belong to a host come before those that any can have.
  local free = {}
  for _, camera in ipairs(homeless) do
    local wanted = redis.call('HGET', camera_key(camera), 'wanted')
    local host = wanted ~= '' and wanted or runs[camera] and id
    if host and (room[host] or 0) > 0 then
      give(camera, host)
    elseif wanted == '' then
      free[#free + 1] = camera
    end
  end
  for _, camera in ipairs(free) do
    local host = emptiest()
    if not host then break end
    give(camera, host)
  end
end

local answer = {1}
for _, one in ipairs(mine()) do
  local c = redis.call('HMGET', camera_key(one[2]), 'wish', 'problem')
  local problem = problems[one[2]] or ''
  if c[2] ~= problem then
    redis.call('HSET', camera_key(one[2]), 'problem', problem)
    changed('camera', one[2])
  end
  answer[#answer + 1] = c[1]
end
return answer
