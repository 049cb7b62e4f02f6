# SPDX-License-Identifier: GPL-3.0-or-later
"""How much waits for each destination, by age: the table that Postfix's ``qshape`` made known."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.ages import by_age
from gateway.api.gateway import GatewayView
from gateway.model import PENDING, BridgeName, State

SAMPLE = 2000
"""How many deliveries of a destination are looked at one by one, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One destination's row."""

    destination: BridgeName
    waiting: int
    """Deliveries that still have to leave this box."""
    ages: tuple[int, ...]
    """How many of them by age, as `gateway.ages.AGE_NAMES`; of the oldest `SAMPLE` only."""
    younger: int
    """How many more there are, each younger than those."""
    oldest_ms: int | None
    """When the oldest of them was received."""
    dead: int


async def shapes(view: GatewayView) -> tuple[Shape, ...]:
    """Return every destination's row, in the order of the configuration."""
    tally = await view.journal.tally()
    oldest = await view.journal.oldest_pending()
    return tuple([await _shape(view, name, tally, oldest.get(name)) for name in view.settings.bridges])


async def _shape(
    view: GatewayView, name: BridgeName, tally: dict[tuple[BridgeName, State], int], oldest_ms: int | None
) -> Shape:
    waiting = sum(count for (bridge, state), count in tally.items() if bridge == name and state in PENDING)
    seen = (await view.journal.pending(name, after=0, limit=SAMPLE)).deliveries if waiting else ()
    ages = by_age((delivery.message.received_ms for delivery in seen), view.clock.now_ms())
    return Shape(
        destination=name,
        waiting=waiting,
        ages=ages,
        younger=max(0, waiting - len(seen)),
        oldest_ms=oldest_ms,
        dead=tally.get((name, State.FAILED), 0),
    )
