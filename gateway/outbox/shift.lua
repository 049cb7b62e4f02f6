#!lua flags=allow-oom
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Follow a wall clock that stepped; once per token.
-- KEYS[1] skew as in common.lua
-- ARGV token, delta
if call('HGET', SKEW, 'token') == ARGV[1] then return 0 end
call('HINCRBY', SKEW, 'ms', ARGV[2])
call('HSET', SKEW, 'token', ARGV[1])
return 1
