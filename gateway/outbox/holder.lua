#!lua flags=no-writes
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Who holds a destination, and where its bridge's source goes on.
-- KEYS 1 to 16 as in common.lua; reads skew, fence
-- ARGV stem, now
-- Returns {owner or '' when it is free, resume or '', who said so or ''}.
local fence = call('HMGET', FENCE, 'owner', 'until', 'resume', 'by')
local owner = fence[1] or ''
if tonumber(fence[2] or 0) <= tonumber(ARGV[2]) - skew then owner = '' end
return {owner, fence[3] or '', fence[4] or ''}
