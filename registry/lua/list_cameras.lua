-- All added cameras, the oldest first, and all hosts. Answers {{id, capacity, cameras that it runs}...}, {a camera}...
drop_drafts()
local hosts = {}
for _, id in ipairs(redis.call('ZRANGE', key('hosts'), 0, -1)) do
  hosts[#hosts + 1] = {id, redis.call('HGET', key('capacities'), id), redis.call('SCARD', key('runs', id))}
end
local answer = {hosts}
for _, camera in ipairs(redis.call('ZRANGE', key('cameras'), 0, -1)) do
  answer[#answer + 1] = redis.call('HMGET', camera_key(camera), 'wish', 'wanted', 'wanted_name', 'host', 'problem', 'created', 'changed')
end
return answer
