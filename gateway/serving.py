# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the other boxes in which conversations this one can speak now, so that nobody waits for it where it can't."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from gateway.choosing import Choosing
from gateway.link import Link
from gateway.model import Address, BridgeName, Clock, RoutedConversation
from gateway.speaking import Speaking

LOOK_EVERY_S = 2.0


class Destination(Protocol):
    """One bridge's sending side."""

    @property
    def choosing(self) -> Choosing | None:
        """None: it doesn't say what goes next, and holds nothing back."""
        ...


class Served(Protocol):
    """One bridge, as far as this looks at it."""

    @property
    def link(self) -> Link:
        """Whether it is up."""
        ...

    @property
    def sender(self) -> Destination:
        """What sends there."""
        ...


class Conversations(Protocol):
    """What routes name, at this moment."""

    def conversations(self, bridge: BridgeName) -> tuple[RoutedConversation, ...]:
        """Return a bridge's."""
        ...


class Serving:
    """Looks every few seconds."""

    def __init__(
        self, speaking: Speaking, parts: Mapping[BridgeName, Served], routed: Conversations, clock: Clock
    ) -> None:
        self._speaking = speaking
        self._parts = parts
        self._routed = routed
        self._clock = clock

    @property
    def is_wanted(self) -> bool:
        """Whether there are other boxes to tell."""
        return self._speaking.chorus is not None

    async def run(self) -> None:
        """Tell them, for ever."""
        while True:
            self._speaking.serve(self._conversations())
            await self._clock.sleep(LOOK_EVERY_S)

    def _conversations(self) -> Iterator[Address]:
        for name in self._able():
            for conversation in self._routed.conversations(name):
                yield Address(name, conversation.name)

    def _able(self) -> Iterable[BridgeName]:
        """Yield the bridges that are up and have not been held back (by their airtime) for a turn or longer."""
        for name, part in self._parts.items():
            choosing = part.sender.choosing
            schedule = None if choosing is None else choosing.look()
            held_s = None if schedule is None else schedule.held_for_s
            if part.link.is_up and (held_s is None or held_s < self._speaking.turn_s(name)):
                yield name
