#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Put dead letters back at the tail of their lanes, attempts at zero. An expiry already past is
-- dropped: whoever asks for this wants it sent.
-- KEYS 1 to 16 as in common.lua; reads skew; writes body, tries, stats, dead, why, ready, lists
-- ARGV stem, now, then ids
-- Returns the ids that were dead letters.
local now, ids = tonumber(ARGV[2]) - skew, {}
for i = 3, #ARGV do ids[i - 2] = ARGV[i] end
local found, back, bytes = fetch(BODY, ids), {}, 0
for i = 1, #ids do
  local id, body = ids[i], found[i]
  local lane, expires, _, conversation, at = header(body)
  if lane and call('ZREM', DEAD, id) == 1 then
    call('HDEL', WHY, id)
    local _, generation = tried(id)
    call('HSET', TRIES, id, '0;' .. generation)
    if expires and expires <= now then
      call('HSET', BODY, id, (string.gsub(body, '^(%d;)%-?%d+', '%1', 1)))
    end
    call('RPUSH', list(lane, conversation), id)
    call('ZADD', ready(lane), 'NX', int(now), conversation)
    back[#back + 1] = id
    bytes = bytes + #body - at + 1
  end
end
count(#back, bytes)
return back
