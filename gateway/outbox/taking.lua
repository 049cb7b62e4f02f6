-- SPDX-License-Identifier: GPL-3.0-or-later
-- How claim and heads look at what waits first; put between common.lua and theirs. ARGV[4] is now.
-- What has expired goes to `gone`; what can't be read is lost.
local now = tonumber(ARGV[4]) - skew
local gone, may_expire, lost, n, bytes = {}, 0, 0, 0, 0
local seen_ids, seen_bodies = {}, {}

-- ARGV[at]: the cap of expired ones, and behind it the ids of those to confirm
local function begin(at)
  remember_all(confirm(GONE, at + 1), 'e;')
  gone = call('SRANDMEMBER', GONE, ARGV[at]) -- given out before, but the answer may have been lost
  may_expire = tonumber(ARGV[at]) - #gone
end

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
      seen_ids[#seen_ids + 1] = id
      seen_bodies[#seen_bodies + 1] = body
    end
  end
  return taken, removed
end

-- The first of a conversation that can be sent, up to `most`; how many there are. An empty one is no more.
local function look(lane, conversation, most)
  local q = list(lane, conversation)
  local taken, more = 0, true
  while more and taken < most do taken, more = page(lane, q, taken, most) end
  if taken == 0 and call('EXISTS', q) == 0 then
    call('ZREM', ready(lane), conversation)
    call('HDEL', FLY, lane .. ';' .. conversation)
  end
  return taken
end
