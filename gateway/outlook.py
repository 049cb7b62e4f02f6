# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bridge that schedules has used of its channel, and how long what waits will take by its rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from gateway import ages
from gateway.choosing import Schedule
from gateway.journal import Journal
from gateway.model import PENDING, Bridge, BridgeName, Costs, Delivery, Schedules
from gateway.wording import shown

log = structlog.get_logger()

_HOUR_S = 3600
MOST_PRICED = 500
"""Deliveries reckoned one by one, the oldest; what is beyond is taken to be like them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What one destination has before it."""

    waiting: int
    """Deliveries."""
    priced: int
    """How many of them were reckoned one by one: fewer than wait, and the rest is an estimate."""
    cost_ms: int
    """How long they all are on the air, each once and by our own transmitter."""
    drain_s: float | None
    """How long until they will have gone out; None: not as things are."""

    @property
    def is_exact(self) -> bool:
        """Whether every one of them was reckoned."""
        return self.priced >= self.waiting


async def outlooks(bridges: Mapping[BridgeName, Bridge], journal: Journal) -> Mapping[BridgeName, Outlook]:
    """Return it for every bridge that schedules and knows its costs. JournalError."""
    narrow = [name for name, bridge in bridges.items() if isinstance(bridge, Schedules) and isinstance(bridge, Costs)]
    if not narrow:
        return {}
    tally = await journal.tally()
    found: dict[BridgeName, Outlook] = {}
    for name in narrow:
        waiting = sum(tally.get((name, state), 0) for state in PENDING)
        one = await _outlook(name, bridges[name], journal, waiting)
        if one is not None:
            found[name] = one
    return found


async def _outlook(name: BridgeName, bridge: Bridge, journal: Journal, waiting: int) -> Outlook | None:
    some = (await journal.pending(name, after=0, limit=MOST_PRICED)).deliveries if waiting else ()
    waiting = max(waiting, len(some)) if len(some) >= MOST_PRICED else len(some)
    try:
        return _reckoned(bridge, some, waiting)
    except Exception:
        # A bridge's defect must not take the status of everything else with it.
        log.exception("outlook_defect", destination=name)
        return None


def _reckoned(bridge: Bridge, some: tuple[Delivery, ...], waiting: int) -> Outlook | None:
    if not isinstance(bridge, Schedules) or not isinstance(bridge, Costs):
        return None
    priced_ms = sum(bridge.airtime_ms(one.message, one.to) for one in some)
    cost_ms = round(priced_ms * waiting / len(some)) if some else 0
    drain_s = bridge.drain_s(cost_ms)
    return Outlook(
        waiting=waiting, priced=len(some), cost_ms=cost_ms, drain_s=drain_s if math.isfinite(drain_s) else None
    )


def in_words(schedule: Schedule, outlook: Outlook | None) -> str:
    """Say to people what is used, what is held back and why, and how long what waits will take. Pure."""
    air = schedule.airtime
    window = "hour" if air.window_s == _HOUR_S else ages.in_words(air.window_s)
    used, left_ms = air.used_ms / 1000, max(0, air.allowed_ms - air.used_ms)
    parts = [
        f"{used:.1f} of {air.allowed_ms / 1000:.1f} s airtime used in the last {window}, {left_ms / 1000:.1f} s left"
    ]
    if air.busy_percent is not None:
        parts.append(f"channel {air.busy_percent:.0f} % busy")
    if air.held:
        for_s = schedule.held_for_s or 0.0
        parts.append(f"held back for {ages.in_words(for_s)}: {shown(air.held, most=200)}")
    if outlook is not None and outlook.waiting:
        parts.append(f"what waits {_takes(outlook)}")
    return "; ".join(parts)


def _takes(outlook: Outlook) -> str:
    if outlook.drain_s is None:
        return "can't go out as things are"
    basis = "" if outlook.is_exact else f", reckoned from the oldest {outlook.priced:,} of {outlook.waiting:,}"
    return f"takes about {ages.in_words(outlook.drain_s)}{basis}"
