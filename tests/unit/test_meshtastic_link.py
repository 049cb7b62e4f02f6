# SPDX-License-Identifier: GPL-3.0-or-later
"""A link tells the radio's silence from its own."""

from __future__ import annotations

import random
from collections.abc import Callable

from bridges.meshtastic.link import TICK_S, Link
from bridges.meshtastic.session import HANDSHAKE_SILENCE_S, Event, Session
from bridges.meshtastic.station import Station
from gateway.model import LinkDown


class Line:
    """A line on which nobody says anything."""

    name, is_serial, is_flushed, is_reading = "serial:/dev/quiet", True, True, True

    def start(self, _on_bytes: Callable[[bytes], None], _on_lost: Callable[[LinkDown], None]) -> None: ...
    def write(self, _data: bytes) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.at_s = 0.0

    def now_ms(self) -> int:
        return round(self.at_s * 1000)

    def monotonic(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        self.at_s += seconds


def quiet_link() -> tuple[Link, Clock]:
    clock = Clock()
    events: list[Event] = []
    session = Session(station=Station(), random=random.Random(1), count=lambda _: None, now=0.0)
    link = Link(Line(), session, clock, on_event=events.append, count=lambda _: None)
    return link, clock


async def test_a_radio_that_says_nothing_is_lost() -> None:
    link, clock = quiet_link()
    await link.keep()
    assert link.failure is not None
    assert clock.at_s < HANDSHAKE_SILENCE_S + 2 * TICK_S


async def test_a_process_that_stood_still_first_reads_what_was_said_meanwhile() -> None:
    link, clock = quiet_link()
    clock.at_s = 60.0
    link._tick()
    assert link.failure is None
    await link.keep()
    assert clock.at_s >= 60.0 + HANDSHAKE_SILENCE_S
