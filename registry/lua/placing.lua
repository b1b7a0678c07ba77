-- Put before every change that gives sessions to nodes: who is chosen, and why, in words.

local PAGE = 16 -- candidates looked at, the least loaded first
local PAGES = 16 -- if all of them lapsed a moment ago, as when a network is cut: look so much further
local OTHERS = 6 -- nodes that the words mention besides the chosen one …
local MANY, OF_MANY = 16, 2 -- … and how many of more than MANY: looking at them costs most of a placement
local FASTEST, SLOWEST = 14, -6 -- classes of speed: powers of two in frames a second

-- How one node stands to being given a session: {id, name, free, slots, spare, against = words or nil}
local function standing(id, wish)
  local n = redis.call('HMGET', node_key(id), 'state', 'name', 'reach', 'draining', 'original', 'slots', 'direct',
    'load_fps', 'fps:' .. wish.algorithm, 'reach_since', 'busy', 'out_until', 'out_reason', 'suspect_at', 'awaited')
  local who = {id = id, name = n[2] or id, slots = number(n[6])}
  local direct = number(n[7])
  who.free = who.slots - redis.call('SCARD', key('on', id)) - direct
  if n[9] and n[9] ~= '' then
    local fps = number(n[9])
    local spare = fps * (1 - number(n[11]))
    -- What runs without a session is only known by what it takes.
    if direct > 0 then spare = math.min(spare, fps - number(n[8])) end
    who.spare = math.max(0, math.floor(spare + 0.5))
  end
  if n[1] == 'suspect' then
    who.against = 'has not been heard of since ' .. at(n[14])
  elseif n[1] ~= 'live' then
    who.against = 'is gone'
  elseif redis.call('SISMEMBER', key('has', wish.algorithm), id) == 0 then
    who.against = 'has no ' .. wish.algorithm
  elseif n[5] == '1' then
    who.against = 'speaks the original\'s calls only'
  elseif number(redis.call('ZSCORE', key('alive'), id)) <= now then
    who.against = 'has not been heard of for a while'
  elseif number(n[12]) > now then
    who.against = 'is left out until ' .. at(n[12]) .. ': ' .. (n[13] or '')
  elseif n[3] == 'checking' or n[15] == '1' then
    who.against = 'is being checked'
  elseif n[3] ~= 'ok' then
    who.against = 'is unreachable since ' .. at(n[10])
  elseif n[4] == '1' then
    who.against = 'is draining'
  elseif who.free <= 0 then
    who.against = 'is full'
  end
  return who
end

local function lacks(id, terms)
  for _, term in ipairs(terms) do
    if redis.call('SISMEMBER', key('label', term), id) == 0 then return 'lacks ' .. term end
  end
end

local function in_words(who)
  local text = who.name .. ': ' .. who.free .. ' of ' .. who.slots .. ' slots free'
  if who.spare then text = text .. ', ' .. who.spare .. ' fps to spare' end
  return text
end

-- Words on the nodes that have the algorithm and could not take the session.
local function refusals(wish, chosen, without)
  local list, most = {}, OTHERS
  if chosen and redis.call('SCARD', key('has', wish.algorithm)) > MANY then most = OF_MANY end
  for _, id in ipairs(redis.call('SRANDMEMBER', key('has', wish.algorithm), most + 1)) do
    if id ~= chosen then
      local who = standing(id, wish)
      who.against = who.against or lacks(id, wish.require) or (id == without and 'is left out: it gave no frames')
      if who.against and #list < most then list[#list + 1] = who.name .. ' ' .. who.against end
    end
  end
  table.sort(list)
  return list
end

-- A page of the free nodes with all the labels `terms` and of the speed `class`, the least loaded first.
local function candidates(wish, terms, class)
  local free = key('free', wish.algorithm)
  if #terms == 0 and not class then
    return function(page) return redis.call('ZRANGE', free, page * PAGE, (page + 1) * PAGE - 1) end
  end
  local keys, weights = {free}, {1}
  for _, term in ipairs(terms) do
    keys[#keys + 1] = key('label', term)
    weights[#weights + 1] = 0
  end
  if class then
    keys[#keys + 1] = key('class', wish.algorithm .. ':' .. class)
    weights[#weights + 1] = 0
  end
  local arguments = {'ZINTER', #keys}
  for _, one in ipairs(keys) do arguments[#arguments + 1] = one end
  arguments[#arguments + 1] = 'WEIGHTS'
  for _, one in ipairs(weights) do arguments[#arguments + 1] = one end
  local ids = redis.call(unpack(arguments))
  return function(page)
    local list = {}
    for i = page * PAGE + 1, math.min(#ids, (page + 1) * PAGE) do list[#list + 1] = ids[i] end
    return list
  end
end

-- The first candidate that keeps up with what the session may need; without any, the least loaded one.
local function pick(wish, pages, without)
  local needed = math.max(wish.demand, 1)
  for page = 0, PAGES - 1 do
    local chosen
    local ids = pages(page)
    for _, id in ipairs(ids) do
      if id ~= without then
        local who = standing(id, wish)
        if who.against == 'is full' then return chosen end -- the rest is at least as loaded
        if not who.against then
          if not who.spare or who.spare >= needed then return who end
          chosen = chosen or who
        end
      end
    end
    if chosen or #ids < PAGE then return chosen end
  end
end

local function search(wish, terms, without)
  if wish.speed ~= 'fastest' then return pick(wish, candidates(wish, terms), without) end
  for class = FASTEST, SLOWEST, -1 do
    if redis.call('EXISTS', key('class', wish.algorithm .. ':' .. class)) == 1 then
      local chosen = pick(wish, candidates(wish, terms, class), without)
      if chosen then return chosen end
    end
  end
  return pick(wish, candidates(wish, terms), without) -- those that did not measure come last
end

-- The node for one more session: what `standing` says of it or nil, and why in words.
-- wish: {algorithm, only = the one node that is wanted or '', demand = fps, require, prefer = lists of labels, speed}.
-- without: id of a node that must not be chosen, or ''.
local function choose(wish, without)
  if wish.only ~= '' then
    local who = standing(wish.only, wish)
    who.against = who.against or lacks(wish.only, wish.require)
    if who.against then return nil, who.name .. ' ' .. who.against end
    if wish.only == without then return nil, who.name .. ' is left out: it gave no frames' end
    return who, in_words(who) .. ' (asked for)'
  end
  local chosen, note
  if #wish.prefer > 0 then
    local all = {unpack(wish.require)}
    for _, term in ipairs(wish.prefer) do all[#all + 1] = term end
    chosen = search(wish, all, without)
    note = (chosen and 'preferred: ' or 'none is free with ') .. table.concat(wish.prefer, ', ')
  end
  chosen = chosen or search(wish, wish.require, without)
  local others = refusals(wish, chosen and chosen.id, without)
  if not chosen then
    if #others == 0 then others[1] = 'no node has ' .. wish.algorithm .. ' now' end
    return nil, table.concat(others, '; ')
  end
  if note then table.insert(others, 1, note) end
  table.insert(others, 1, in_words(chosen))
  return chosen, table.concat(others, '; ')
end

local function terms(text)
  local list = {}
  if text and text ~= '' then
    for name, value in pairs(cjson.decode(text)) do list[#list + 1] = name .. '=' .. value end
  end
  table.sort(list)
  return list
end

local function wish_of(session)
  local s = redis.call('HMGET', session_key(session), 'algorithm', 'only', 'demand', 'require', 'prefer', 'speed')
  return {algorithm = s[1], only = s[2] or '', demand = number(s[3]), require = terms(s[4]), prefer = terms(s[5]), speed = s[6]}
end

-- The part of a node's time that a session may need.
local function share_of(wish, id)
  local fps = number(redis.call('HGET', node_key(id), 'fps:' .. wish.algorithm))
  if fps <= 0 then return 0 end
  return wish.demand / fps
end

local function new_token() return integer(next_number('token', now)) end
