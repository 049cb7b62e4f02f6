# SPDX-License-Identifier: GPL-3.0-or-later
"""Two radios of one gateway on one mesh: what one has put on the air, or heard there, the other waits to hear itself.

A delivery that still waits where a copy of its message comes in is cancelled by the core: it is there already.
But a radio learns of a packet seconds after it was sent, and the other's delivery would be gone by then. So it is
held for as long as a packet may take, if the two hear each other; if nothing comes, it goes out.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from bridges.meshtastic.places import node_number
from bridges.meshtastic.register import Said, Seat
from gateway.model import Address, Candidate, Clock, Hold, Message, NativeId, RateLimited, RemoteId, words_of

HEARD_WITHIN_MS = 2 * 3_600_000
"""Who was heard so lately is in range."""
HOPS = 3
"""A packet may be said so often more before it is here."""
CONTENTION_S = 6.0
"""And it waits for its turn, at our radio and at each relay, longest where the channel is busy."""
MOST_HEARD = 256
MOST_ADDED = 35
"""Characters before somebody's words, when they are said again: when, who, and that it is an emergency."""
DRAIN_S = 5.0
"""What the node kept for us while we were away comes right after the greeting."""


class Twins:
    """What the other radios of this process mean for what this one is to send."""

    def __init__(self, seat: Seat, *, clock: Clock, heard_ms: Callable[[int], int | None]) -> None:
        """`heard_ms(number)`: when this radio last heard of a node, by the clock on the wall; None: never."""
        self._seat = seat
        self._clock = clock
        self._heard_ms = heard_ms
        self._connected_at = clock.monotonic()
        self._heard: OrderedDict[NativeId, tuple[str, str]] = OrderedDict()
        self._asked: OrderedDict[NativeId, float] = OrderedDict()
        """When something that came in at another radio was first to be sent here."""

    def connected(self) -> None:
        """Note that the radio was greeted just now."""
        self._connected_at = self._clock.monotonic()

    def hear(self, message: Message) -> None:
        """Note what came in here."""
        self._heard[message.native_id] = (
            self._seat.conversation(message.origin.conversation),
            words_of(message.content),
        )
        while len(self._heard) > MOST_HEARD:
            self._heard.popitem(last=False)

    def copy(self, message: Message, to: Address) -> RemoteId | None:
        """Return which packet that came in here was this message already; None if none was.

        The core cancels what waits when a copy comes. One that comes in the moment in which the delivery is with us,
        to be held once more, it can't cancel.
        """
        channel = self._seat.conversation(to.conversation)
        said = self._seat.register.said(message.native_id, channel, message.content)
        ours = said is not None and said.seat.name == self._seat.name
        packet = message.native_id if said is None or ours else said.packet
        on, words = self._heard.get(packet, ("", ""))
        says, added = words_of(message.content), len(words_of(message.content)) - len(words)
        # What carries a digest has the id of one message and the words of many.
        is_copy = channel and on == channel and says.endswith(words) and added <= MOST_ADDED
        return RemoteId(packet.rpartition(":")[2]) if is_copy else None

    def ready(
        self, waiting: Sequence[Candidate], airtime_ms: Callable[[Message, Address], int]
    ) -> Sequence[Candidate] | Hold:
        """Return those that needn't wait whether they come by themselves; where all must, for how long and why."""
        ready, waits = [], []
        for each in waiting:
            message, to = each.delivery.message, each.delivery.to
            channel = self._seat.conversation(to.conversation)
            wait_s, who = self._wait(message, channel, airtime_ms(message, to)) if channel else (0.0, "")
            if wait_s > 0:
                waits.append((wait_s, who))
            else:
                ready.append(each)
        if ready:
            return ready
        wait_s, who = min(waits)
        return Hold(for_s=wait_s, reason=_waiting_for(who), is_brief=True)

    @contextmanager
    def turn(self, message: Message, to: Address, packet: NativeId, airtime_ms: int) -> Iterator[None]:
        """Send it within this context: the others wait meanwhile. RateLimited while it may come by itself."""
        channel = self._seat.conversation(to.conversation)
        if not channel:
            yield
            return
        self._admit(message, channel, airtime_ms)
        say = partial(self._seat.register.say, message.native_id, channel, message.content)
        say(Said(seat=self._seat, packet=packet, at=math.inf))
        try:
            yield
        finally:
            say(Said(seat=self._seat, packet=packet, at=self._clock.monotonic()))

    def _admit(self, message: Message, channel: str, airtime_ms: int) -> None:
        wait_s, who = self._wait(message, channel, airtime_ms)
        if wait_s > 0:
            raise RateLimited(_waiting_for(who), retry_after_s=wait_s)

    def _wait(self, message: Message, channel: str, airtime_ms: int) -> tuple[float, str]:
        window_s = CONTENTION_S + (HOPS + 1) * airtime_ms / 1000
        now = self._clock.monotonic()
        drained_s = self._connected_at + DRAIN_S - now
        for other in self._seat.others():
            came_from = message.origin.bridge == other.name
            if came_from and self._hears(other, message) and other.conversation(message.origin.conversation) == channel:
                return max(window_s - self._age_s(message, now), drained_s), other.name
        said = self._seat.register.said(message.native_id, channel, message.content)
        if said is None or not self._hears(said.seat, message):
            return 0.0, ""
        return max(min(said.at - now, 0.0) + window_s, drained_s), said.seat.name

    def _age_s(self, message: Message, now: float) -> float:
        """Return how old it is at least: a clock that was set back makes none younger than it is known here."""
        known_s = now - self._asked.setdefault(message.native_id, now)
        while len(self._asked) > MOST_HEARD:
            self._asked.popitem(last=False)
        return max((self._clock.now_ms() - message.received_ms) / 1000, known_s)

    def _hears(self, other: Seat, message: Message) -> bool:
        """Tell whether this radio hears what the other does: its own words, or those of who speaks."""
        if other.name == self._seat.name or not other.number or other.modem != self._seat.modem:
            return False
        speakers = {other.number, node_number(message.sender.id) or other.number}
        after = self._clock.now_ms() - HEARD_WITHIN_MS
        return any((at := self._heard_ms(number)) is not None and at >= after for number in speakers)


def _waiting_for(who: str) -> str:
    return f"{who} has it on the same mesh already: waiting whether it is heard here"
