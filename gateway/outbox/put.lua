#!lua
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Append what a source journalled in (after, upto], or nothing at all. No allow-oom: this is the tap.
-- KEYS 1 to 16 as in common.lua; reads skew, fence; writes body, tries, stats, ready, lists
-- the last of KEYS: src STRING  the last sequence taken from this source for this destination
-- ARGV stem, after, upto, quota, quota in bytes, "id;generation id;generation" of those whose key isn't the first,
-- and for each: id, body with the caller's times
-- Returns {0, new, known}, {1, cursor} for a gap, {2, n, bytes} for full.
local SRC, FIRST, STEP, DIRECT_OF = KEYS[#KEYS], 7, 2, {['3'] = '1', ['4'] = '2'}
local cursor = call('GET', SRC) or '0'
local total = (#ARGV - FIRST + 1) / STEP
if cursor ~= ARGV[2] then
  if cursor == ARGV[3] then return {0, 0, total} end -- this very call again: its answer was lost
  return {1, tonumber(cursor)}
end

local ids = {}
for i = 1, total do ids[i] = ARGV[FIRST + STEP * (i - 1)] end
local known, past = fetch(BODY, ids), recall(ids)
local fresh, twice = {}, {}
local n, bytes, urgent_n, urgent_bytes = 0, 0, 0, 0
for i = 1, total do
  local id = ids[i]
  if not known[i] and not past[i] and not twice[id] then
    local body = ARGV[FIRST + STEP * (i - 1) + 1]
    local lane, expires, received, conversation, at = header(body)
    twice[id] = true
    fresh[#fresh + 1] = {id, body, lane, expires, received, conversation, at}
    if lane == '0' then
      urgent_n, urgent_bytes = urgent_n + 1, urgent_bytes + #body - at + 1
    else
      n, bytes = n + 1, bytes + #body - at + 1
    end
  end
end

local function over(have, more, urgent, quota)
  return (more > 0 and have + more > quota) or (have + more + urgent > quota + math.floor(quota / 10))
end
if #fresh > 0 then
  local stats = call('HMGET', STATS, 'n', 'bytes')
  local have_n, have_bytes = tonumber(stats[1] or 0), tonumber(stats[2] or 0)
  if over(have_n, n, urgent_n, tonumber(ARGV[4])) or over(have_bytes, bytes, urgent_bytes, tonumber(ARGV[5])) then
    return {2, have_n, have_bytes}
  end
end

-- A conversation is due since its first message was received, but never later than a time already
-- seen: a box whose clock once stood in the future must not hide messages there.
local seen = tonumber(call('HGET', FENCE, 'seen') or 0)
local lists, due, bodies = {}, {{}, {}, {}, {}, {}}, {}
for i = 1, #fresh do
  local id, body, lane, expires, received, conversation, at = unpack(fresh[i], 1, 7)
  -- A release before direct chats had digits of their own queued them under 1 and 2: what follows joins them.
  local older = DIRECT_OF[lane]
  if older and call('EXISTS', list(older, conversation)) == 1 then
    lane, body = older, older .. string.sub(body, 2)
  end
  if skew ~= 0 then
    received, expires = received - skew, expires and int(expires - skew) or ''
    body = table.concat({lane, expires, int(received), #conversation, conversation, string.sub(body, at)}, ';')
  end
  local q = list(lane, conversation)
  local new = lists[q]
  if not new then
    new = {}
    lists[q] = new
    local scores = due[lane + 1]
    scores[#scores + 1] = int(math.min(received, seen))
    scores[#scores + 1] = conversation
  end
  new[#new + 1] = id
  bodies[2 * i - 1] = id
  bodies[2 * i] = body
end
for q, new in pairs(lists) do bulk('RPUSH', q, new) end
for _, lane in ipairs(SERVED) do
  local scores = due[lane + 1]
  for i = 1, #scores, 1000 do
    call('ZADD', ready(lane), 'NX', unpack(scores, i, math.min(i + 999, #scores)))
  end
end
bulk('HSET', BODY, bodies)
for id, generation in string.gmatch(ARGV[6], '(%S+);(%d+)') do
  if twice[id] then call('HSET', TRIES, id, '0;' .. generation) end
end
count(#fresh, bytes + urgent_bytes)
call('SET', SRC, ARGV[3])
return {0, #fresh, total - #fresh}
