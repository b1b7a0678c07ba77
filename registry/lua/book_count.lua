-- A counter. ARGV: name, ms after its beginning at which it is forgotten, what to add (0 only reads), a word for this
-- call, ms for which the word is kept. Answers its value.
local name, by, done = key('book-count', ARGV[1]), tonumber(ARGV[3]), key('book-counted', ARGV[4])
local value, ends = string.match(redis.call('GET', name) or '', '^(%-?%d+) (%d+)$')
if not value or tonumber(ends) <= now then value, ends = 0, integer(now + tonumber(ARGV[2])) end
value = tonumber(value)
if by ~= 0 and redis.call('EXISTS', done) == 0 then -- this script may run twice for one call
  value = value + by
  redis.call('SET', name, integer(value) .. ' ' .. ends, 'PX', integer(math.max(1, tonumber(ends) - now)))
  redis.call('SET', done, '1', 'PX', ARGV[5])
end
return value
