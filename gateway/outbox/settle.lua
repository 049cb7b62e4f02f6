#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Acknowledge (d), keep awaiting (w), retry (r) or bury (x) leases.
-- KEYS 1 to 16 as in common.lua; reads skew; writes all of them, and lists
-- ARGV stem, owner, epoch, now, cap of dead letters, and for each one of
--   d;id;remote id   w;id;until;remote id   r;id;at;flags ('c' counted, 'f' fresh key)   x;id;reason
--   l;id: it can't be read; it goes, and may come back
if not held(ARGV[2], ARGV[3]) then return LOST end
local now, FIRST = tonumber(ARGV[4]) - skew, 6
local ids, kinds, details = {}, {}, {}
for at = FIRST, #ARGV do
  local i = at - FIRST + 1
  kinds[i], ids[i], details[i] = string.match(ARGV[at], '^(.);([^;]*);?(.*)$')
end
local found = fetch(BODY, ids)
local flights, over, fates, n, bytes = {}, {}, {}, 0, 0

-- The leased ids of a conversation, and whether more wait behind them. What is settled at the head is
-- only counted, and popped at the end in one go.
local function flight_of(lane, conversation)
  local name = lane .. ';' .. conversation
  local of = flights[name]
  if not of then
    local leases, hold = flight(lane, conversation)
    of = {lane = lane, conversation = conversation, hold = hold, q = list(lane, conversation), popped = 0}
    of.ids = leases > 0 and call('LRANGE', of.q, 0, leases) or {}
    of.more = #of.ids > leases
    if of.more then of.ids[#of.ids] = nil end
    flights[name] = of
  end
  return of
end

local function find(ids_, id)
  for i = 1, #ids_ do
    if ids_[i] == id then return i end
  end
end

local function retry(of, position, id, detail)
  local due, flags = string.match(detail, '^(%-?%d+);(%a*)$')
  for i = #of.ids, position, -1 do of.ids[i] = nil end
  of.more, of.hold = true, math.max(of.hold, tonumber(due) - skew)
  if flags ~= '' then try_again(id, string.find(flags, 'c'), string.find(flags, 'f')) end
end

local function settle(kind, id, detail, body)
  local lane, _, _, conversation, at = header(body)
  if not lane then return end
  local of = flight_of(lane, conversation)
  local position = find(of.ids, id)
  if not position then return end
  of.touched = true
  if kind == 'r' then return retry(of, position, id, detail) end
  table.remove(of.ids, position)
  if position == 1 then of.popped = of.popped + 1 else call('LREM', of.q, 1, id) end
  n, bytes = n - 1, bytes - (#body - at + 1)
  if kind == 'w' then
    local till, remote = string.match(detail, '^(%-?%d+);?(.*)$')
    call('ZADD', WAIT, int(tonumber(till) - skew), id)
    detail = remote
  elseif kind == 'x' then
    call('ZADD', DEAD, int(now), id)
    call('HSET', WHY, id, detail)
  else
    over[#over + 1] = id
  end
  if kind ~= 'l' then
    fates[#fates + 1] = id
    fates[#fates + 1] = (kind == 'd' and 's' or kind) .. ';' .. detail
  end
end

for i = 1, #ids do settle(kinds[i], ids[i], details[i], found[i]) end

local landed, flying, scores, empty = {}, {}, {{}, {}, {}, {}, {}}, {{}, {}, {}, {}, {}}
for name, of in pairs(flights) do
  if of.popped > 0 then call('LPOP', of.q, of.popped) end
  if of.touched and #of.ids > 0 then
    flying[#flying + 1] = name
    flying[#flying + 1] = #of.ids .. ';' .. int(of.hold)
  elseif of.touched then
    landed[#landed + 1] = name
    if of.more then
      local lane = scores[of.lane + 1]
      lane[#lane + 1] = int(math.max(now, of.hold))
      lane[#lane + 1] = of.conversation
    else
      local lane = empty[of.lane + 1]
      lane[#lane + 1] = of.conversation
    end
  end
end
bulk('HSET', FLY, flying)
bulk('HDEL', FLY, landed)
for _, lane in ipairs(SERVED) do
  bulk('ZADD', ready(lane), scores[lane + 1])
  bulk('ZREM', ready(lane), empty[lane + 1])
end
remember(fates)
forget(over)
count(n, bytes)

local excess = call('ZCARD', DEAD) - tonumber(ARGV[5])
if excess > 0 then
  local oldest = call('ZRANGE', DEAD, 0, excess - 1)
  bulk('ZREM', DEAD, oldest)
  bulk('HDEL', WHY, oldest)
  forget(oldest)
end
return 1
