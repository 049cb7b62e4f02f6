#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Lease exactly this one, if it still waits first in its conversation, and is due.
-- KEYS 1 to 16 as in common.lua; reads skew, body, tries, list; writes fly, ready
-- ARGV stem, owner, epoch, now, visible, lane, conversation, id
-- Returns {skew, id, tries, body}, or nil: look again.
if not held(ARGV[2], ARGV[3]) then return LOST end
local now, visible = tonumber(ARGV[4]) - skew, tonumber(ARGV[5])
local lane, conversation, id = tonumber(ARGV[6]), ARGV[7], ARGV[8]
local due = call('ZSCORE', ready(lane), conversation)
if not due or tonumber(due) > now or call('LINDEX', list(lane, conversation), 0) ~= id then return nil end
local body = call('HGET', BODY, id)
local of, expires = header(body)
if not of or (expires and expires <= now and lane ~= 0) then return nil end
call('ZADD', ready(lane), int(now + visible), conversation)
call('HSET', FLY, lane .. ';' .. conversation, '1;0')
return {skew, id, call('HGET', TRIES, id) or '', body}
