#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Forget dead letters.
-- KEYS 1 to 16 as in common.lua; writes dead, why, body, tries
-- ARGV stem, then ids
-- Returns the ids that were dead letters.
local had = {}
for i = 2, #ARGV do
  if call('ZREM', DEAD, ARGV[i]) == 1 then had[#had + 1] = ARGV[i] end
end
bulk('HDEL', WHY, had)
forget(had)
return had
