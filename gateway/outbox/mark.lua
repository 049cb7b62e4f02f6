#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Note where the bridge's source goes on: everything before it is in the queue.
-- KEYS 1 to 16 as in common.lua; writes fence
-- ARGV stem, owner, epoch, resume
if not held(ARGV[2], ARGV[3]) then return LOST end
call('HSET', FENCE, 'resume', ARGV[4], 'by', ARGV[2])
return 1
