-- A document is removed. ARGV: kind, id, a word for this call, ms for which the word is kept. Answers whether it was
-- there: 1 to the first who asks, 0 to all others.
local done = key('book-removed', ARGV[3])
if redis.call('EXISTS', done) == 1 then return 1 end -- this script may run twice for one call
local ends = redis.call('ZSCORE', key('book-ends', ARGV[1]), ARGV[2])
redis.call('ZREM', key('book-ends', ARGV[1]), ARGV[2])
if redis.call('HDEL', key('book', ARGV[1]), ARGV[2]) == 0 then return 0 end
if ends and tonumber(ends) <= now then return 0 end
redis.call('HINCRBY', key('book-versions'), ARGV[1], 1)
redis.call('SET', done, '1', 'PX', ARGV[4])
return 1
