#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Make backed-off conversations due at once; those with leases out as soon as these are settled.
-- KEYS 1 to 16 as in common.lua; reads skew; writes fly, ready
-- ARGV stem, now, and the conversation if only one is meant
local now = tonumber(ARGV[2]) - skew
for _, lane in ipairs(SERVED) do
  local held_back = {ARGV[3]}
  if not ARGV[3] then held_back = call('ZRANGEBYSCORE', ready(lane), '(' .. int(now), '+inf') end
  for i = 1, #held_back do
    local leases = flight(lane, held_back[i])
    if leases > 0 then
      call('HSET', FLY, lane .. ';' .. held_back[i], leases .. ';0')
    else
      call('ZADD', ready(lane), 'XX', 'LT', int(now), held_back[i])
    end
  end
end
return 1
