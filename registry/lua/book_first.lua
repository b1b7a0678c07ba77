-- Something that is to be said once. ARGV: what, ms for which that is remembered, a word for this call. Answers 1 or 0.
local name = key('book-first', ARGV[1])
local word, ends = string.match(redis.call('GET', name) or '', '^(%S+) (%d+)$')
if word == ARGV[3] then return 1 end -- this script may run twice for one call
if word and tonumber(ends) > now then return 0 end
redis.call('SET', name, ARGV[3] .. ' ' .. integer(now + tonumber(ARGV[2])), 'PX', ARGV[2])
return 1
