#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Hold the lease longer.
-- KEYS 1 to 16 as in common.lua; reads skew; writes fence
-- ARGV stem, owner, epoch, now, ttl
if not held(ARGV[2], ARGV[3]) then return LOST end
local now = tonumber(ARGV[4]) - skew
call('HSET', FENCE, 'until', int(now + ARGV[5]), 'seen', int(now))
return 1
