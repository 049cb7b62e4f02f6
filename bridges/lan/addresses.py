# SPDX-License-Identifier: GPL-3.0-or-later
"""Where other boxes may be: from the configuration, from mDNS, from who calls, and from what boxes tell. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from bridges.lan.event import BoxId
from bridges.lan.presence import MOST_ADDRESSES

MOST_PLACES = 256
MOST_FOUND = 64
"""Of places that mDNS told of and where no box answered yet: whoever floods a network with names fills no others."""
GIVEN_UP = 30
"""Failures in a row after which a place that nobody configured is forgotten; it may be found again."""
AT_FIRST_S = 1.0
LONGEST_S = 8.0
"""Between two tries of a place where nobody answers: with the time a try takes it bounds how long healing takes."""


class Source(IntEnum):
    """How a place was learned, the better first."""

    CONFIGURED = 0
    CALLER = 1
    FOUND = 2
    TOLD = 3


@dataclass(slots=True, kw_only=True)
class Place:
    """``host:port`` where a box may be; `box` is known once it answered, or by whoever named it."""

    address: str
    source: Source
    box: BoxId | None = None
    failures: int = 0
    is_up: bool = False
    reason: str = ""
    """Why it doesn't answer, in words."""
    hung_up: bool = False
    """Whether who is there knows us not, or no more."""

    def failed(self, reason: str, *, hung_up: bool = False) -> None:
        """Nobody answers, or somebody who wants nothing of us."""
        self.failures += 1
        self.is_up = False
        self.reason = reason
        self.hung_up = hung_up

    def answered(self, box: BoxId) -> None:
        """A box is there."""
        self.failures, self.is_up, self.box, self.reason, self.hung_up = 0, True, box, "", False

    def pause_s(self, chance: float) -> float:
        """Return how long until the next try, after failures; `chance`: 0 to 1."""
        return float(min(LONGEST_S, AT_FIRST_S * 2 ** min(self.failures - 1, 10))) * (0.5 + chance / 2)


class Places:
    """All of them, bounded: of each box a few, and so many in all."""

    def __init__(self, configured: Iterable[str]) -> None:
        self._places = {address: Place(address=address, source=Source.CONFIGURED) for address in configured}

    def __iter__(self) -> Iterator[Place]:
        return iter(tuple(self._places.values()))

    def learn(self, address: str, source: Source, box: BoxId | None = None) -> Place | None:
        """Note a place; None if it was known, or there are too many."""
        have = self._places.get(address)
        if have is not None:
            have.box = have.box or box
            return None
        of_box = Counter(place.box for place in self._places.values())
        of_source = Counter(place.source for place in self._places.values() if place.box is None)
        if source is Source.FOUND and of_source[Source.FOUND] >= MOST_FOUND:
            return None
        if len(self._places) >= MOST_PLACES or (box is not None and of_box[box] >= MOST_ADDRESSES):
            return None
        place = self._places[address] = Place(address=address, source=source, box=box)
        return place

    def is_spare(self, place: Place) -> bool:
        """Whether its box answers at another place already: of several that do, all but the first are."""
        if place.box is None:
            return False
        first = self.of(place.box)[0]
        return first.is_up and first is not place

    def give_up(self, place: Place) -> bool:
        """Forget a place that nobody configured and where nobody has answered for long; whether it was."""
        if place.source is Source.CONFIGURED or place.failures < GIVEN_UP:
            return False
        self._places.pop(place.address, None)
        return True

    def forget(self, place: Place) -> None:
        """Forget a place: it is our own."""
        self._places.pop(place.address, None)

    def of(self, box: BoxId) -> list[Place]:
        """Return the places of a box, the one that answers first."""
        return sorted((p for p in self._places.values() if p.box == box), key=lambda p: (not p.is_up, p.source))


def is_literal(address: str) -> bool:
    """Whether it is an IP address with a port, and nothing but that: what a box tells makes us look up no names."""
    host, _, port = address.rpartition(":")
    try:
        ip, number = ipaddress.ip_address(host.strip("[]")), int(port[:5])
    except ValueError:
        return False
    is_zoned = isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None
    return not is_zoned and 0 < number < 65536 and address == address_of(host.strip("[]"), number)  # noqa: PLR2004 - ports


def address_of(host: str, port: int) -> str:
    """Return ``host:port``, as it is written in a configuration."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
