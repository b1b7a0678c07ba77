-- Where the log of changes ends now: {the last revision, the place to go on from, since when the network is suspected}.
local last = redis.call('XREVRANGE', key('events'), '+', '-', 'COUNT', 1)
return {redis.call('GET', key('revision')) or '0', last[1] and last[1][1] or '0-0', redis.call('GET', key('preserving')) or ''}
