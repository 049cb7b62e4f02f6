#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Forget dead letters and what was overdue, and that these were ever here: what is put under their ids next is news.
-- KEYS 1 to 16 as in common.lua; writes dead, why, body, tries
-- ARGV stem, then ids
-- Returns the ids that were dead letters.
local had, ids = {}, {}
for i = 2, #ARGV do
  ids[#ids + 1] = ARGV[i]
  if call('ZREM', DEAD, ARGV[i]) + call('SREM', LATE, ARGV[i]) > 0 then had[#had + 1] = ARGV[i] end
end
bulk('HDEL', WHY, had)
forget(had)
let_go(ids)
return had
