# SPDX-License-Identifier: GPL-3.0-or-later
"""What the law leaves a transmitter of an hour, by the region its radio is set to. Pure.

The figures are the firmware's own (`RadioInterface.cpp`, its table of regions), which refuses what goes beyond them.
"""

from __future__ import annotations

ALL_THE_TIME = 100.0
UNKNOWN_PERCENT = 10.0
"""For a region that is newer than this gateway: what most of those with a limit have."""

DUTY_CYCLE_PERCENT = {
    "EU_433": 10.0,
    "EU_868": 10.0,
    "EU_N_868": 10.0,
    "EU_866": 2.5,  # of a station that moves; a fixed one may 10 %, but its radio doesn't tell
    "EU_874": 10.0,
    "EU_917": 10.0,
    "TH": 10.0,
    "UA_433": 10.0,
    "UA_868": 1.0,
}


def duty_cycle_percent(region: str) -> float:
    """Return the share of every hour, in percent, that one transmitter may be on the air."""
    known = DUTY_CYCLE_PERCENT.get(region)
    if known is not None:
        return known
    # One that these protobufs don't know has a number instead of a name.
    return UNKNOWN_PERCENT if region.isdecimal() else ALL_THE_TIME
