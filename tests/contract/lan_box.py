# SPDX-License-Identifier: GPL-3.0-or-later
"""A LAN bridge without a core, on a disk of its own, and what tests do with it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from bridges.lan.bridge import LanBridge
from bridges.lan.hall import Line, Person
from gateway.clock import ManualClock, SystemClock
from gateway.model import (
    Address,
    BridgeContext,
    BridgeName,
    Content,
    Message,
    NativeId,
    RemoteId,
    ResumePoint,
    RoutedConversation,
    Sender,
    SenderId,
    Text,
)

LAN = BridgeName("lan")
TOWN = Address(LAN, "town")
RIDGE = Sender(id=SenderId("!a1b2c301"), name="Ridge relay")
ROOMS = (RoutedConversation(name="town"), RoutedConversation(name="warnings"), RoutedConversation(name="~ali@hilltop"))


class LanBox:
    """One box's folder, and the bridges that are started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self.clock: SystemClock | ManualClock = SystemClock()
        self.resume: ResumePoint | None = None

    def bridge(self, **more: Any) -> LanBridge:
        context = BridgeContext(
            name=LAN,
            table={"kind": "lan"},
            state_dir=self.folder,
            clock=self.clock,
            random=random.Random(1),
            conversations=ROOMS,
            resume=self.resume,
            count=lambda what: self.counts.update([what]),
            box="hilltop",
            **more,
        )
        return LanBridge(context)

    @asynccontextmanager
    async def running(self, **more: Any) -> AsyncIterator[LanBridge]:
        async with self.bridge(**more) as bridge:
            yield bridge

    async def received(self, bridge: LanBridge, count: int) -> list[Message]:
        """Take so many messages, as the core does: the next is asked for when the last is stored."""
        found: list[Message] = []
        async with asyncio.timeout(5), aclosing(bridge.receive()) as messages:
            async for message in messages:
                assert isinstance(message, Message)
                found.append(message)
                self.resume = message.resume
                if len(found) == count:
                    break
        return found

    async def nothing_more(self, bridge: LanBridge) -> None:
        """Say something, and see that it is the next that is received."""
        last = await said(bridge, join(bridge, "last"), "the last line")
        (found,) = await self.received(bridge, 1)
        assert found.native_id == last.id


def join(bridge: LanBridge, nick: str) -> Person:
    person = bridge.hall.join(nick, f"key of {nick}")
    assert isinstance(person, Person)
    return person


async def said(bridge: LanBridge, person: Person, text: str, **more: Any) -> Line:
    line = await bridge.hall.say(person, "town", text, **more)
    assert isinstance(line, Line), line
    return line


def from_radio(content: Content | str, native: str = "mt:a1b2c301:17", **more: Any) -> Message:
    """Return what the core hands over of what a radio heard."""
    return Message(
        native_id=NativeId(native),
        origin=Address(BridgeName("radio"), "LongFast"),
        sender=more.pop("sender", RIDGE),
        content=Text(body=content) if isinstance(content, str) else content,
        received_ms=more.pop("received_ms", SystemClock().now_ms()),
        remote_id=RemoteId("17"),
        **more,
    )


async def shown(bridge: LanBridge, count: int, room: str = "town") -> Sequence[Line]:
    """Return the lines of a room, once there are so many."""
    async with asyncio.timeout(5):
        while len(lines := await bridge.hall.lines(room)) < count:
            await asyncio.sleep(0.01)
    return lines


async def texts(bridge: LanBridge, room: str = "town") -> Sequence[str]:
    return [line.text for line in await bridge.hall.lines(room)]
