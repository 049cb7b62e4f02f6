#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Put an awaiting delivery back at the head of its lane, behind what is leased there.
-- KEYS 1 to 16 as in common.lua; reads skew, body; writes tries, stats, fly, wait, ready, list
-- ARGV stem, owner, epoch, id, at, 'f' for a fresh key or ''
-- Returns 1, or 0 when it wasn't awaiting.
if not held(ARGV[2], ARGV[3]) then return LOST end
local id, due = ARGV[4], tonumber(ARGV[5]) - skew
if call('ZREM', WAIT, id) == 0 then return 0 end
local body = call('HGET', BODY, id)
local lane, _, _, conversation, at = header(body)
if not lane then return 0 end
try_again(id, true, ARGV[6] == 'f')
local q = list(lane, conversation)
local leases, hold = flight(lane, conversation)
if leases > 0 then
  call('LINSERT', q, 'AFTER', call('LINDEX', q, leases - 1), id)
  call('HSET', FLY, lane .. ';' .. conversation, leases .. ';' .. int(math.max(hold, due)))
else
  call('LPUSH', q, id)
  call('ZADD', ready(lane), 'GT', int(due), conversation)
end
count(1, #body - at + 1)
return 1
