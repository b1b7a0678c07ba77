-- One document. ARGV: kind, id. Answers {revision, document}, or nothing.
local ends = redis.call('ZSCORE', key('book-ends', ARGV[1]), ARGV[2])
if ends and tonumber(ends) <= now then return nil end
local text = redis.call('HGET', key('book', ARGV[1]), ARGV[2])
if not text then return nil end
local revision, _, document = string.match(text, '^(%d+) (%S+) (.*)$')
return {revision, document}
