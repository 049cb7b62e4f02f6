-- SPDX-License-Identifier: GPL-3.0-or-later
-- What every script on one destination begins with. All keys are under one hash tag.
--
-- Stored times are of the queue's own time, which only goes on: each gateway subtracts what its clock is
-- off by before it asks (see anchor.lua), so a wall clock that is set changes nothing here.
--  1 skew   HASH  q, at, by: the latest time a holder told us, the server's own time then, and who;
--                 ms: what is to be subtracted besides, once written by releases before 0.2
--  2 fence  HASH  owner, epoch, until, seen (the latest time a holder told us); resume and by: where the
--                 bridge's source goes on, and who said so; began: when `lately` did
--  3 body   HASH  id -> "lane;expires;received;bytes of conversation;conversation;" .. envelope
--  4 tries  HASH  id -> "attempts;generation"; absent: 0;0
--  5 stats  HASH  n, bytes: what is on the lanes
--  6 fly    HASH  "lane;conversation" -> "leases;hold": so many at the head of its list are leased
--  7 wait   ZSET  awaiting id -> until
--  8 dead   ZSET  dead letter's id -> when it was buried
--  9 why    HASH  dead letter's id -> reason
-- 10 gone   SET   expired ids that were handed out but not confirmed yet
-- 11 late   SET   the same for overdue ones
-- 12 to 16 ready  ZSET  conversation -> due; of lane 0 emergency, 1 normal, 2 guest, and for direct
--                       chats 3 normal, 4 guest: digits of their own, so that older queues stay as they are
-- 17, 18 lately, before  HASH  given only where several boxes share the queue: id -> its fate; what left it,
--   in two generations. A fate is one of
--   w;remote id (awaiting)  s;remote id (sent)  h;.. (heard)  d;.. (delivered)  x;reason  e;  c;
-- ARGV[1] .. lane .. ":" .. conversation  LIST of ids: strict order, the leased ones first
local SKEW, FENCE, BODY, TRIES, STATS, FLY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local WAIT, DEAD, WHY, GONE, LATE = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local SERVED = {0, 3, 1, 4, 2} -- direct chats before channels, within emergency, normal, guest
local LATELY, BEFORE, LATELY_MOST, LATELY_MS = KEYS[17], KEYS[18], 50000, 7 * 86400000
local shared = KEYS[18]
local call = redis.call
local skew = tonumber(call('HGET', SKEW, 'ms') or 0)

local function int(number)
  return string.format('%.0f', number)
end

local function ready(lane)
  return KEYS[12 + lane]
end

local function list(lane, conversation)
  return ARGV[1] .. lane .. ':' .. conversation
end

-- lane, expires or nil, received, conversation, index of the envelope; nil for what isn't ours
local function header(body)
  if not body then return nil end
  local lane, expires, received, size, at = string.match(body, '^([0-4]);(%-?%d*);(%-?%d+);(%d+);()')
  if not lane then return nil end
  local past = at + tonumber(size)
  return lane, tonumber(expires), tonumber(received), string.sub(body, at, past - 1), past + 1
end

-- variadic commands in slices that fit Lua's stack; even, so that pairs stay together
local function bulk(command, key, values)
  for i = 1, #values, 1000 do
    call(command, key, unpack(values, i, math.min(i + 999, #values)))
  end
end

local function fetch(key, ids)
  local found = {}
  for i = 1, #ids, 1000 do
    local slice = call('HMGET', key, unpack(ids, i, math.min(i + 999, #ids)))
    for j = 1, #slice do found[i + j - 1] = slice[j] end
  end
  return found
end

local function held(owner, epoch)
  local fence = call('HMGET', FENCE, 'owner', 'epoch')
  return fence[1] == owner and fence[2] == epoch
end

local LOST = redis.error_reply('LEASELOST another holder has this destination')

-- the server's own clock: good for how long ago something was, as long as nobody set it meanwhile
local function server_ms()
  local now = call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- the queue's time now, as whoever told it last would say; nil if nobody has
local function time_here()
  local told = call('HMGET', SKEW, 'q', 'at')
  if not told[1] then return nil end
  local at = tonumber(told[2])
  -- 2020: before it the server's clock had not been set yet, and tells nothing of how long ago that was
  local gone = at < 1577836800000 and 0 or math.max(0, server_ms() - at)
  return tonumber(told[1]) + gone
end

local function tell_time(now, owner)
  call('HSET', SKEW, 'q', int(now), 'at', int(server_ms()), 'by', owner)
end

local function count(n, bytes)
  if n ~= 0 then
    call('HINCRBY', STATS, 'n', int(n))
    call('HINCRBY', STATS, 'bytes', int(bytes))
  end
end

-- attempts and generation
local function tried(id)
  local attempts, generation = string.match(call('HGET', TRIES, id) or '0;0', '^(%d+);(%d+)$')
  return tonumber(attempts), tonumber(generation)
end

local function try_again(id, counted, fresh_key)
  local attempts, generation = tried(id)
  if counted then attempts = attempts + 1 end
  if fresh_key then generation = generation + 1 end
  call('HSET', TRIES, id, attempts .. ';' .. generation)
end

-- how many at the head of the conversation's list are leased, and until when it holds back after them
local function flight(lane, conversation)
  local leases, hold = string.match(call('HGET', FLY, lane .. ';' .. conversation) or '0;0', '^(%d+);(%-?%d+)$')
  return tonumber(leases), tonumber(hold)
end

local function forget(ids)
  bulk('HDEL', BODY, ids)
  bulk('HDEL', TRIES, ids)
end

-- the holder got these from `set`: they are off the queue for good
local function confirm(set, from)
  local ids = {}
  for i = from, #ARGV do
    if call('SREM', set, ARGV[i]) == 1 then ids[#ids + 1] = ARGV[i] end
  end
  forget(ids)
  return ids
end

-- Keep what became of these (id, fate, id, fate ...), so that a box that comes late with one adds nothing.
local function remember(fates)
  if not shared or #fates == 0 then return end
  local times = call('HMGET', FENCE, 'seen', 'began')
  local seen, began = tonumber(times[1] or 0), tonumber(times[2] or 0)
  local many = call('HLEN', LATELY)
  if many >= LATELY_MOST or (many > 0 and seen - began >= LATELY_MS) then
    call('UNLINK', BEFORE)
    call('RENAME', LATELY, BEFORE)
    many = 0
  end
  if many == 0 then call('HSET', FENCE, 'began', int(seen)) end
  bulk('HSET', LATELY, fates)
end

local function remember_all(ids, fate)
  local fates = {}
  for i = 1, #ids do fates[2 * i - 1], fates[2 * i] = ids[i], fate end
  remember(fates)
end

-- what is remembered of these
local function recall(ids)
  if not shared then return {} end
  local found, before = fetch(LATELY, ids), fetch(BEFORE, ids)
  for i = 1, #ids do found[i] = found[i] or before[i] end
  return found
end

local function let_go(ids)
  if shared then
    bulk('HDEL', LATELY, ids)
    bulk('HDEL', BEFORE, ids)
  end
end

-- id, body, id, body ...
local function with_bodies(ids)
  local bodies, pairs_ = fetch(BODY, ids), {}
  for i = 1, #ids do
    pairs_[2 * i - 1] = ids[i]
    pairs_[2 * i] = bodies[i] or ''
  end
  return pairs_
end

