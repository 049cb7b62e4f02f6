#!lua flags=no-writes
-- SPDX-License-Identifier: GPL-3.0-or-later
-- How much waits, conversation by conversation, deepest first.
-- KEYS 1 to 16 as in common.lua; reads skew, body, ready, lists
-- ARGV stem, limit
-- Returns {lane, conversation, waiting, received or false, ...}.
local rows = {}
for _, lane in ipairs(SERVED) do
  local conversations = call('ZRANGE', ready(lane), 0, -1)
  for i = 1, #conversations do
    rows[#rows + 1] = {lane, conversations[i], call('LLEN', list(lane, conversations[i]))}
  end
end
table.sort(rows, function(one, other)
  if one[3] ~= other[3] then return one[3] > other[3] end
  if one[1] ~= other[1] then return one[1] < other[1] end
  return one[2] < other[2]
end)
local answer = {}
for i = 1, math.min(#rows, tonumber(ARGV[2])) do
  local lane, conversation, waiting = unpack(rows[i])
  local _, _, received = header(call('HGET', BODY, call('LINDEX', list(lane, conversation), 0)))
  answer[#answer + 1] = lane
  answer[#answer + 1] = conversation
  answer[#answer + 1] = waiting
  answer[#answer + 1] = received and received + skew or false
end
return answer
