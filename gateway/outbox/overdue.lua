#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Take out of the awaiting set whose time is over, and the oldest beyond `keep`.
-- KEYS 1 to 16 as in common.lua; reads skew; writes wait, late, body, tries
-- ARGV stem, owner, epoch, now, keep, cap, then the overdue ids to confirm
-- Returns {skew, {id, body, ...}}.
if not held(ARGV[2], ARGV[3]) then return LOST end
confirm(LATE, 7)
local cap = tonumber(ARGV[6])
local late = call('SRANDMEMBER', LATE, cap) -- given out before, but the answer may have been lost
local over = math.max(call('ZCOUNT', WAIT, '-inf', int(tonumber(ARGV[4]) - skew)), call('ZCARD', WAIT) - tonumber(ARGV[5]))
over = math.min(over, cap - #late)
if over > 0 then
  local ids = call('ZRANGE', WAIT, 0, over - 1)
  bulk('ZREM', WAIT, ids)
  bulk('SADD', LATE, ids)
  for i = 1, #ids do late[#late + 1] = ids[i] end
end
return {skew, with_bodies(late)}
