#!lua flags=no-writes
-- SPDX-License-Identifier: GPL-3.0-or-later
-- What became of deliveries that left a shared queue lately.
-- KEYS 1 to 16 as in common.lua; reads skew, lately, before
-- ARGV stem, then ids
-- Returns {id, fate, ...} of those that are remembered.
local ids, told = {}, {}
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
local found = recall(ids)
for i = 1, #ids do
  if found[i] then
    told[#told + 1] = ids[i]
    told[#told + 1] = found[i]
  end
end
return told
