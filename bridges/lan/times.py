# SPDX-License-Identifier: GPL-3.0-or-later
"""When a line of the log was said, had and came, as nearly as the clocks of the boxes can be believed. Pure.

Boxes have no clock of their own: the one that logged a line may have been in 1970, or this one may be. Then that its
time can't be told makes a line neither old nor of the future: it is as if it was said when it came here.
"""

from __future__ import annotations

from bridges.lan.entries import Said
from bridges.lan.hlc import LATEST_MS, MOST_AHEAD_MS, ms_of
from bridges.lan.store import Arrived
from gateway.model import NEVER_SET_MS


def when_said(said: Said, arrived: Arrived, now_ms: int) -> int:
    """Return when it was said; never later than now, unless this box doesn't know the time and others do."""
    told = (said.said_ms, arrived.stored_ms)
    if now_ms < NEVER_SET_MS:
        # A stamp says no more than after what: of a box without a clock it may be days old. But it is none of 1970.
        return next((at for at in (*told, ms_of(arrived.event.hlc)) if _is_believable(at, now_ms)), now_ms)
    return min(now_ms, next((at for at in told if _is_believable(at, now_ms)), now_ms))


def when_had(said: Said, arrived: Arrived, now_ms: int) -> int:
    """Return when the box that logged it had it, what its age counts from; by this box's clock, so never after now."""
    return min(now_ms, when_said(said, arrived, now_ms) + said.late_ms)


def since_when(said: Said, arrived: Arrived, now_ms: int) -> int:
    """Return since when it may have been in the log: of what was said by a box without a clock, its stamp."""
    had_ms, stamp_ms = when_had(said, arrived, now_ms), ms_of(arrived.event.hlc)
    return min(had_ms, stamp_ms) if said.said_ms < NEVER_SET_MS <= stamp_ms else had_ms


def _is_believable(at_ms: int, now_ms: int) -> bool:
    """Whether a box with a clock can have told it: somewhat in the future, for clocks differ, but not far."""
    latest_ms = LATEST_MS if now_ms < NEVER_SET_MS else now_ms + MOST_AHEAD_MS
    return NEVER_SET_MS <= at_ms <= latest_ms
