# SPDX-License-Identifier: GPL-3.0-or-later
"""What sending dead letters again would cost: how many deliveries they make, and how long those are on the air."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.fitting import Unfit
from gateway.journal import DeadLetter, DeadLetters, Journal
from gateway.model import Address, Bridge, BridgeName, Costs, Delivery, Message, State

MOST_PRICED = 2000
"""Letters looked at one by one; what is beyond makes it `at least`."""

Fit = Callable[[Message, Address], Sequence[Delivery] | Unfit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one destination would be sent."""

    destination: BridgeName
    letters: int = 0
    deliveries: int = 0
    """A letter's part of a message, and the later parts it held back."""
    unfit: int = 0
    """Letters that can't be sent: they don't fit their network any more."""
    airtime_ms: int | None = None
    """None: its network has no airtime to run out of."""
    basis: str = ""
    """By which settings the airtime is reckoned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What sending some dead letters again costs."""

    total: int
    """Letters."""
    costs: tuple[Cost, ...]
    """Of each destination."""
    complete: bool
    """False: it is at least that much."""


async def price(which: DeadLetters, journal: Journal, fit: Fit, bridges: Mapping[BridgeName, Bridge]) -> Price:
    """Reckon what it would cost to send these again; nothing is sent. JournalError."""
    page = await journal.overview.letters(which, after=0, limit=MOST_PRICED)
    by_bridge: dict[BridgeName, list[DeadLetter]] = {}
    for letter in page.letters:
        by_bridge.setdefault(letter.to.bridge, []).append(letter)
    costs = tuple(_cost(name, letters, fit, bridges.get(name)) for name, letters in by_bridge.items())
    total = len(page.letters)
    if page.following is not None and not which.reason:
        tally = await journal.tally()
        failed = {bridge: count for (bridge, state), count in tally.items() if state is State.FAILED}
        total = max(total, sum(n for bridge, n in failed.items() if which.destination in (None, bridge)))
    return Price(total=total, costs=costs, complete=page.following is None)


def _cost(name: BridgeName, letters: Sequence[DeadLetter], fit: Fit, bridge: Bridge | None) -> Cost:
    if bridge is None:
        return Cost(destination=name, letters=len(letters), unfit=len(letters))
    parts = [_parts(letter, fit) for letter in letters]
    deliveries = [delivery for some in parts for delivery in some]
    costs = bridge if isinstance(bridge, Costs) else None
    return Cost(
        destination=name,
        letters=len(letters),
        deliveries=len(deliveries),
        unfit=sum(not some for some in parts),
        airtime_ms=None if costs is None else sum(costs.airtime_ms(one.message, one.to) for one in deliveries),
        basis="" if costs is None else costs.airtime_basis,
    )


def _parts(letter: DeadLetter, fit: Fit) -> Sequence[Delivery]:
    fitted = fit(letter.message, letter.to)
    if isinstance(fitted, Unfit):
        return ()
    return [delivery for delivery in fitted if delivery.part >= letter.part]
