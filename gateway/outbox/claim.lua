#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Lease what is due: lane by lane, the conversation due longest first, a run of each.
-- KEYS 1 to 16 as in common.lua; reads skew, tries; writes fence, body, stats, fly, ready, lists, gone
-- ARGV stem, owner, epoch, now, visible, limit, run, cap of expired ones, then the expired ids to confirm
-- Returns {skew, next due or false, lost, {id, tries, body, ...}, {expired id, body, ...}}.
if not held(ARGV[2], ARGV[3]) then return LOST end
local now, visible = tonumber(ARGV[4]) - skew, tonumber(ARGV[5])
local limit, run = tonumber(ARGV[6]), tonumber(ARGV[7])
remember_all(confirm(GONE, 9), 'e;')
local gone = call('SRANDMEMBER', GONE, ARGV[8]) -- given out before, but the answer may have been lost
local may_expire = tonumber(ARGV[8]) - #gone
local leased, bodies, lost, n, bytes = {}, {}, 0, 0, 0

local function take_off(q, id, body, at)
  call('LREM', q, 1, id)
  n, bytes = n - 1, bytes - (at and #body - at + 1 or 0)
end

-- Look at one page of a conversation; false when there is no need or no leave to look further.
local function page(lane, q, taken, most)
  local ids = call('LRANGE', q, taken, most - 1)
  if #ids == 0 then return taken, false end
  local found = call('HMGET', BODY, unpack(ids))
  local removed = false
  for i = 1, #ids do
    local id, body = ids[i], found[i]
    local of, expires, _, _, at = header(body)
    if not of then
      take_off(q, id, body)
      forget({id})
      lost, removed = lost + 1, true
    elseif expires and expires <= now and lane ~= 0 then
      if may_expire <= 0 then return taken, false end
      take_off(q, id, body, at)
      call('SADD', GONE, id)
      gone[#gone + 1] = id
      may_expire, removed = may_expire - 1, true
    else
      taken = taken + 1
      leased[#leased + 1] = id
      bodies[#bodies + 1] = body
    end
  end
  return taken, removed
end

local wide = math.ceil(limit / run) -- conversations
for _, lane in ipairs(SERVED) do
  local due = {}
  if #leased < limit and wide > 0 and may_expire > 0 then
    due = call('ZRANGEBYSCORE', ready(lane), '-inf', int(now), 'LIMIT', 0, limit - #leased)
  end
  local scores, flying = {}, {}
  for i = 1, #due do
    local most = math.min(run, limit - #leased)
    if most <= 0 or wide <= 0 or may_expire <= 0 then break end
    local q = list(lane, due[i])
    local taken, more = 0, true
    while more and taken < most do taken, more = page(lane, q, taken, most) end
    if taken > 0 then
      wide = wide - 1
      scores[#scores + 1] = int(now + visible)
      scores[#scores + 1] = due[i]
      flying[#flying + 1] = lane .. ';' .. due[i]
      flying[#flying + 1] = taken .. ';0'
    elseif call('EXISTS', q) == 0 then
      call('ZREM', ready(lane), due[i])
      call('HDEL', FLY, lane .. ';' .. due[i])
    end
  end
  bulk('ZADD', ready(lane), scores)
  bulk('HSET', FLY, flying)
end
count(n, bytes)
call('HSET', FENCE, 'seen', int(now))

local next_due = false
for _, lane in ipairs(SERVED) do
  local first = call('ZRANGE', ready(lane), 0, 0, 'WITHSCORES')
  if first[2] and (not next_due or tonumber(first[2]) < next_due) then next_due = tonumber(first[2]) end
end
local tries, leases = fetch(TRIES, leased), {}
for i = 1, #leased do
  leases[3 * i - 2], leases[3 * i - 1], leases[3 * i] = leased[i], tries[i] or '', bodies[i]
end
return {skew, next_due, lost, leases, with_bodies(gone)}
