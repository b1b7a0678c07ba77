-- A document is written. ARGV: kind, id, document, the revision that it must have (0: it must not be there; -1: any), ms
-- after which it is forgotten (0: never), a word for this call. Answers 1 or 0.
local kind, id, expected, life, word = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local book, ends = key('book', kind), key('book-ends', kind)
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now)) do
  redis.call('HDEL', book, ended)
  redis.call('ZREM', ends, ended)
end
local revision, last = string.match(redis.call('HGET', book, id) or '', '^(%d+) (%S+) ')
if last == word then return 1 end -- this script may run twice for one call
if expected >= 0 and expected ~= number(revision) then return 0 end
-- The kind's version is the document's revision: it never comes again, not even for one that was removed and made anew.
local version = redis.call('HINCRBY', key('book-versions'), kind, 1)
redis.call('HSET', book, id, version .. ' ' .. word .. ' ' .. ARGV[3])
if life > 0 then redis.call('ZADD', ends, now + life, id) else redis.call('ZREM', ends, id) end
return 1
