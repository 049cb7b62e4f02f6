#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Give the lease up; the epoch stays, so that the next one is higher.
-- KEYS 1 to 16 as in common.lua; writes fence, gone, late, body, tries
-- ARGV stem, owner, epoch, then ids got as expired, '', ids got as overdue
if not held(ARGV[2], ARGV[3]) then return 0 end
call('HSET', FENCE, 'owner', '', 'until', '0')
local ids, set = {}, GONE
for i = 4, #ARGV do
  if ARGV[i] == '' then
    set = LATE
  elseif call('SREM', set, ARGV[i]) == 1 then
    ids[#ids + 1] = ARGV[i]
  end
end
forget(ids)
return 1
