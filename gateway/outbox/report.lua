#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- The last report on an awaiting delivery came.
-- KEYS 1 to 16 as in common.lua; writes wait, body, tries
-- ARGV stem, owner, epoch, id
-- Returns 1, or 0 when it wasn't awaiting.
if not held(ARGV[2], ARGV[3]) then return LOST end
if call('ZREM', WAIT, ARGV[4]) == 0 then return 0 end
forget({ARGV[4]})
return 1
