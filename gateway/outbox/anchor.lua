#!lua flags=no-writes
-- SPDX-License-Identifier: GPL-3.0-or-later
-- What time it is here, so that a gateway can tell how far its own clock is off.
-- KEYS[1] skew as in common.lua
-- Returns {the time here, ms of skew}, or nil where nobody has told a time yet.
local here = time_here()
return here and {int(here), skew}
