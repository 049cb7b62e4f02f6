#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Show what waits first in each due conversation, and lease none of it. What has expired is taken off as by claim.
-- KEYS 1 to 16 as in common.lua; reads skew, tries; writes fence, body, stats, fly, ready, lists, gone
-- ARGV stem, owner, epoch, now, limit, turn, cap of expired ones, then the expired ids to confirm
-- Returns {skew, next due or false, lost, how many are due, {lane, conversation, id, tries, body, ...},
--   {expired id, body, ...}}.
if not held(ARGV[2], ARGV[3]) then return LOST end
local limit, turn = tonumber(ARGV[5]), tonumber(ARGV[6])
begin(7)

local least = math.floor(limit / 8) -- places of each lane that needs them
local due, all, left = {}, 0, limit
for _, lane in ipairs(SERVED) do
  due[lane] = call('ZCOUNT', ready(lane), '-inf', int(now))
  all = all + due[lane]
end

local function add(names, lane, from, many)
  local found = many > 0 and call('ZRANGEBYSCORE', ready(lane), '-inf', int(now), 'LIMIT', from, many) or {}
  for i = 1, #found do names[#names + 1] = found[i] end
end

-- All of a lane; without room for all, those due longest, and in the other half of the room each in its turn.
local function chosen(lane, room)
  local names = {}
  if due[lane] <= room then
    add(names, lane, 0, due[lane])
    return names
  end
  local first = math.ceil(room / 2)
  local turns, others = room - first, due[lane] - first
  local from = (turn * turns) % others
  add(names, lane, 0, first)
  add(names, lane, first + from, math.min(turns, others - from))
  add(names, lane, first, math.min(turns - (others - from), from))
  return names
end

local places = {} -- lane and conversation of each that is seen
for i, lane in ipairs(SERVED) do
  local kept = 0
  for j = i + 1, #SERVED do kept = kept + math.min(least, due[SERVED[j]]) end
  local names = chosen(lane, math.max(0, math.min(due[lane], left - kept)))
  left = left - #names
  for k = 1, #names do
    if may_expire <= 0 then break end
    if look(lane, names[k], 1) > 0 then places[#places + 1] = {lane, names[k]} end
  end
end
count(n, bytes)
call('HSET', FENCE, 'seen', int(now))

local next_due = false
for _, lane in ipairs(SERVED) do
  local first = call('ZRANGEBYSCORE', ready(lane), '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if first[2] and (not next_due or tonumber(first[2]) < next_due) then next_due = tonumber(first[2]) end
end
local tries, heads = fetch(TRIES, seen_ids), {}
for i = 1, #seen_ids do
  local row = {places[i][1], places[i][2], seen_ids[i], tries[i] or '', seen_bodies[i]}
  for j = 1, #row do heads[#heads + 1] = row[j] end
end
return {skew, next_due, lost, all, heads, with_bodies(gone)}
