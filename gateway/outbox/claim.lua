#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Lease what is due: lane by lane, the conversation due longest first, a run of each.
-- KEYS 1 to 16 as in common.lua; reads skew, tries; writes fence, body, stats, fly, ready, lists, gone
-- ARGV stem, owner, epoch, now, visible, limit, run, cap of expired ones, then the expired ids to confirm
-- Returns {skew, next due or false, lost, {id, tries, body, ...}, {expired id, body, ...}}.
if not held(ARGV[2], ARGV[3]) then return LOST end
local visible, limit, run = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
begin(8)

local wide = math.ceil(limit / run) -- conversations
for _, lane in ipairs(SERVED) do
  local due = {}
  if #seen_ids < limit and wide > 0 and may_expire > 0 then
    due = call('ZRANGEBYSCORE', ready(lane), '-inf', int(now), 'LIMIT', 0, limit - #seen_ids)
  end
  local scores, flying = {}, {}
  for i = 1, #due do
    local most = math.min(run, limit - #seen_ids)
    if most <= 0 or wide <= 0 or may_expire <= 0 then break end
    local taken = look(lane, due[i], most)
    if taken > 0 then
      wide = wide - 1
      scores[#scores + 1] = int(now + visible)
      scores[#scores + 1] = due[i]
      flying[#flying + 1] = lane .. ';' .. due[i]
      flying[#flying + 1] = taken .. ';0'
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
local tries, leases = fetch(TRIES, seen_ids), {}
for i = 1, #seen_ids do
  leases[3 * i - 2], leases[3 * i - 1], leases[3 * i] = seen_ids[i], tries[i] or '', seen_bodies[i]
end
return {skew, next_due, lost, leases, with_bodies(gone)}
