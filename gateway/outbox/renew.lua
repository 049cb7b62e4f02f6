#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Hold the lease longer.
-- KEYS 1 to 16 as in common.lua; writes skew, fence
-- ARGV stem, owner, epoch, now, ttl
-- Returns by how much we are behind another gateway, in milliseconds: clocks drift apart.
if not held(ARGV[2], ARGV[3]) then return LOST end
local now = tonumber(ARGV[4]) - skew
call('HSET', FENCE, 'until', int(now + ARGV[5]), 'seen', int(now))
local by, here = call('HGET', SKEW, 'by'), time_here()
tell_time(now, ARGV[2])
return here and by ~= ARGV[2] and int(here - now) or '0'
