#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Take or take over the lease on a destination; what its former holder had leased is due at once.
-- KEYS 1 to 16 as in common.lua; writes skew, fence, fly, ready
-- ARGV stem, owner, now, ttl (0: only what nobody else has been heard of with for a minute)
-- Returns the epoch, or nil while another owner holds it.
local now = tonumber(ARGV[3]) - skew
local fence = call('HMGET', FENCE, 'owner', 'epoch', 'until', 'seen')
local owner = fence[1] or ''
if owner ~= '' and owner ~= ARGV[2] then
  -- a lease that lasts longer than any does was taken by another clock than ours
  local left = tonumber(fence[3]) - now
  if left > 0 and left <= 10 * tonumber(ARGV[4]) then return nil end
  if ARGV[4] == '0' and tonumber(fence[4]) > now - 60000 then return nil end
end
tell_time(now, ARGV[2])
-- at least the time: epochs grow even across a queue that was lost
local epoch = int(math.max(tonumber(fence[2] or 0) + 1, tonumber(ARGV[3])))
call('HSET', FENCE, 'owner', ARGV[2], 'epoch', epoch, 'until', int(now + ARGV[4]), 'seen', int(now))
local flying = call('HGETALL', FLY)
for i = 1, #flying, 2 do
  local lane, conversation = string.sub(flying[i], 1, 1), string.sub(flying[i], 3)
  local hold = tonumber(string.match(flying[i + 1], ';(%-?%d+)$'))
  call('ZADD', ready(lane), 'XX', int(math.max(now, hold)), conversation)
end
call('DEL', FLY)
return tonumber(epoch)
