-- All documents of a kind. ARGV: kind. Answers ids and documents in turn.
local ended = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('book-ends', ARGV[1]), '-inf', now)) do ended[id] = true end
local flat = redis.call('HGETALL', key('book', ARGV[1]))
local found = {}
for i = 1, #flat, 2 do
  if not ended[flat[i]] then
    found[#found + 1] = flat[i]
    found[#found + 1] = string.match(flat[i + 1], '^%d+ %S+ (.*)$')
  end
end
return found
