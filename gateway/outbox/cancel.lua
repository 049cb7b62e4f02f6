#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Take waiting deliveries off the queue, but none that is leased.
-- KEYS 1 to 16 as in common.lua; reads fence, fly; writes body, tries, stats, ready, lists
-- ARGV stem, then ids
-- Returns the ids taken.
local ids = {}
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
local found, taken, bytes = fetch(BODY, ids), {}, 0
for i = 1, #ids do
  local lane, _, _, conversation, at = header(found[i])
  local position = lane and call('LPOS', list(lane, conversation), ids[i])
  local leases = lane and flight(lane, conversation)
  if position and position >= leases then
    local q = list(lane, conversation)
    call('LREM', q, 1, ids[i])
    if call('EXISTS', q) == 0 then
      call('ZREM', ready(lane), conversation)
    elseif position == 0 then -- it may have held the others back
      call('ZADD', ready(lane), 'LT', call('HGET', FENCE, 'seen') or 0, conversation)
    end
    taken[#taken + 1] = ids[i]
    bytes = bytes + #found[i] - at + 1
  end
end
forget(taken)
count(-#taken, -bytes)
return taken
