-- A camera is removed. ARGV: id, ms for which that is known. Answers 1, or 0 when nobody knows such a camera.
redis.call('ZREMRANGEBYSCORE', key('removed'), '-inf', now)
if redis.call('ZSCORE', key('cameras'), ARGV[1]) then
  forget_camera(ARGV[1])
  redis.call('ZADD', key('removed'), now + tonumber(ARGV[2]), ARGV[1])
  return 1
end
return redis.call('ZSCORE', key('removed'), ARGV[1]) and 1 or 0
