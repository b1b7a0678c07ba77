-- An entry of the audit. ARGV: entry, how many are kept at least, a word for this call. Answers its id.
-- This script may run twice for one call: then its entry is among the newest. Others may have come between, but few.
for _, known in ipairs(redis.call('XREVRANGE', key('book-audit'), '+', '-', 'COUNT', 100)) do
  if known[2][4] == ARGV[3] then return known[1] end
end
return redis.call('XADD', key('book-audit'), 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[1], 'w', ARGV[3])
