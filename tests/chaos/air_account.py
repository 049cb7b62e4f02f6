# SPDX-License-Identifier: GPL-3.0-or-later
"""What people said on the radio, and why some of it never became the gateway's: physics, or its own window.

A packet is accepted once the gateway's journal has it. One that isn't there must have been said, or handed
over by a radio that had kept it, while the line was bad, while its own node was out of range, when the radio
lost its memory, or when the gateway was killed between the frame and the commit (`unjournalled`, the
design's stated window). Anything else is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

BEFORE_S, AFTER_S = 2.0, 3.0
"""Around a fault: what was said shortly before may still have been on the air, or on the line."""
KILL_BEFORE_S, KILL_AFTER_S = 1.0, 0.2
UNJOURNALLED = "unjournalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One packet that somebody sent into the mesh."""

    stream: str
    number: int
    sender: int
    id: int
    at_s: float
    from_away: bool
    """Whether its node is one that goes out of range."""


@dataclass(slots=True, kw_only=True)
class AirAccount:
    """Offers and the windows in which they may be lost. `now_s` is the ledger's time."""

    now_s: Callable[[], float]
    offers: list[Offer] = field(default_factory=list)
    overflowed: int = 0
    """Packets the radio's memory for an absent client had no room for."""
    unsent: int = 0
    """Packets of ours that a restarting radio had taken and not yet put on the air."""
    unfetched: int = 0
    """Packets that a restarting radio had received and not yet handed over."""
    _bad: list[tuple[float, float]] = field(default_factory=list)
    _away: list[tuple[float, float]] = field(default_factory=list)
    _kills: list[tuple[float, float]] = field(default_factory=list)
    _alone: list[tuple[float, float]] = field(default_factory=list)
    _alone_since_s: float | None = None

    @contextmanager
    def line_is_bad(self) -> Iterator[None]:
        """Inside, and around it, packets may get lost between radio and gateway."""
        with self._window(self._bad, BEFORE_S, AFTER_S):
            yield

    @contextmanager
    def node_is_away(self) -> Iterator[None]:
        """Inside, and around it, a node isn't heard."""
        with self._window(self._away, BEFORE_S, AFTER_S):
            yield

    def killed(self) -> None:
        """Learn that the gateway is killed now."""
        at_s = self.now_s()
        self._kills.append((at_s - KILL_BEFORE_S, at_s + KILL_AFTER_S))

    def has_client(self, present: bool) -> None:
        """Learn whether the gateway has greeted the radio: while it hasn't, the radio keeps what it hears."""
        if not present and self._alone_since_s is None:
            self._alone_since_s = self.now_s()
        elif present and self._alone_since_s is not None:
            self._alone.append((self._alone_since_s, self.now_s()))
            self._alone_since_s = None

    def rebooted(self, lost: dict[str, int]) -> None:
        """Learn what a restart of the radio cost."""
        self.unsent += lost["unsent"]
        self.unfetched += lost["unfetched"]

    def why_not_accepted(self, offers: list[Offer]) -> tuple[Counter[str], list[Offer]]:
        """Sort what the journal doesn't have by cause; the second part is what nothing explains."""
        causes: Counter[str] = Counter()
        rest: list[Offer] = []
        for offer in offers:
            if _within(offer.at_s, self._bad) or _within(self._handed_s(offer), self._bad):
                causes["lost between radio and gateway, while the line was bad"] += 1
            elif offer.from_away and _within(offer.at_s, self._away):
                causes["said out of range"] += 1
            elif _within(offer.at_s, self._kills) or _within(self._handed_s(offer), self._kills):
                causes[UNJOURNALLED] += 1
            else:
                rest.append(offer)
        forgotten = self.overflowed + self.unfetched
        causes.update({"lost in the radio's memory": len(rest[:forgotten])} if rest[:forgotten] else {})
        return causes, rest[forgotten:]

    def _handed_s(self, offer: Offer) -> float:
        """Return when the radio put it on the line: later than it was said, if nobody was there to take it."""
        ends = [end for begin, end in self._alone if begin - BEFORE_S <= offer.at_s <= end]
        return max([offer.at_s, *ends])

    @contextmanager
    def _window(self, windows: list[tuple[float, float]], before_s: float, after_s: float) -> Iterator[None]:
        began = self.now_s()
        try:
            yield
        finally:
            windows.append((began - before_s, self.now_s() + after_s))


def _within(at_s: float, windows: list[tuple[float, float]]) -> bool:
    return any(begin <= at_s <= end for begin, end in windows)
