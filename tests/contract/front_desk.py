# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the gateway's desk, and a Matrix bridge on a real homeserver that talks to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from bridges.matrix import kind
from bridges.matrix.bridge import MatrixBridge
from gateway.clock import SystemClock
from gateway.model import (
    Address,
    Asked,
    BridgeContext,
    BridgeName,
    Declined,
    Joined,
    Level,
    Message,
    ResumePoint,
    SenderId,
)
from gateway.model import RoutedConversation as Routed
from tests.services import Person, Town

HOME = BridgeName("home")
RADIO = BridgeName("radio")
LONG_FAST = Address(RADIO, "LongFast")
HIKING = Address(RADIO, "Hiking")
NODE = Address(RADIO, "!a1b2c301")
STRANGER = Address(RADIO, "!0000beef")
"""Named by its id, which can be understood, and heard by nobody."""
PATIENCE_S = 40


@dataclass
class FrontDesk:
    """Knows two channels and a node, joins what it is asked to, and tells the bridge; outlives it as a journal does."""

    levels: dict[str, Level] = field(default_factory=dict)
    filed: tuple[Joined, ...] = ()
    """Routes of the configuration file."""
    routes: list[Joined] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    bridge: MatrixBridge | None = None
    fails: Exception | None = None

    def level_of(self, sender: SenderId) -> Level:
        return self.levels.get(sender, Level.TRANSMIT)

    async def answer(self, asked: Asked) -> str:
        self.asked.append(asked)
        if self.fails is not None:
            raise self.fails
        if asked.words not in self.answers:
            raise Declined(f"no such command: {asked.words[:40]}")
        return self.answers[asked.words]

    def resolve(self, there: str) -> Address:
        known = {
            "LongFast": LONG_FAST,
            "Hiking": HIKING,
            NODE.conversation: NODE,
            "Base camp": NODE,
            STRANGER.conversation: STRANGER,
        }
        if there not in known:
            raise Declined(f"I know no channel or node {there!r}")
        return known[there]

    def has_met(self, person: Address) -> bool:
        return person != STRANGER

    async def join(self, here: Address, there: Address, *, by: SenderId, direct: bool = False) -> Joined:
        if self.level_of(by) < (Level.TRANSMIT if direct else Level.COMMANDS):
            raise Declined("you may not")
        known = next((one for one in self.routes if {here, there} == {*one.ends}), None)
        made = known or Joined(
            route=f"chat-{len(self.routes) + 1}",
            ends=(here, there),
            exposed_to=() if direct else (there,),
            direct=direct,
            by=by,
            at_ms=1,
        )
        if known is None:
            self.routes.append(made)
        self.tell()
        return made

    async def part(
        self, here: Address, there: Address | None = None, *, by: SenderId | None = None
    ) -> Sequence[Joined]:
        gone = [one for one in self.routes if here in one.ends and (there is None or there in one.ends)]
        if gone and by is not None and self.level_of(by) < Level.COMMANDS:
            raise Declined("you may not")
        self.routes = [one for one in self.routes if one not in gone]
        self.tell()
        return gone

    def joined(self, here: Address) -> Sequence[Joined]:
        return [one for one in (*self.filed, *self.routes) if here in one.ends]

    def conversations(self) -> tuple[Routed, ...]:
        ends = sorted({end for one in (*self.filed, *self.routes) for end in one.ends if end.bridge == HOME}, key=str)
        return tuple(
            Routed(
                name=end.conversation,
                exposed_to=tuple({to: None for one in self.joined(end) for to in one.exposed_to if to != end}),
            )
            for end in ends
        )

    def tell(self) -> None:
        if self.bridge is not None:
            self.bridge.reroute(self.conversations())


class Box:
    """A gateway box's Matrix bridge with a desk; `start` is a start of the gateway."""

    def __init__(self, town: Town, folder: Path, desk: FrontDesk, **table: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(town.bot.access_token)
        self.town = town
        self.desk = desk
        self.folder = folder
        self.counts: list[str] = []
        self.bridge: MatrixBridge
        self.context = BridgeContext(
            name=HOME,
            table={
                "kind": "matrix",
                "homeserver": town.server.url,
                "user_id": town.bot.user_id,
                "access_token_file": str(folder / "token"),
                **table,
            },
            state_dir=folder,
            clock=SystemClock(),
            random=random.Random(1),
            level_of=desk.level_of,
            count=self.counts.append,
            desk=desk,
        )
        kind.check(self.context.table)

    def build(self, resume: ResumePoint | None = None) -> MatrixBridge:
        made = kind.create(replace(self.context, conversations=self.desk.conversations(), resume=resume))
        assert isinstance(made, MatrixBridge)
        self.bridge = self.desk.bridge = made
        return made

    @asynccontextmanager
    async def start(self, resume: ResumePoint | None = None) -> AsyncIterator[Heard]:
        made = self.build(resume)
        async with asyncio.timeout(PATIENCE_S), made, Heard(made) as heard:
            yield heard


class Heard:
    """What a bridge says it heard, read all the while as the core does."""

    def __init__(self, bridge: MatrixBridge) -> None:
        self._bridge = bridge
        self.messages: list[Message] = []
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reading is not None
        failed = self._reading.done() and not self._reading.cancelled()
        self._reading.cancel()
        await asyncio.wait([self._reading])
        if failed:
            self._reading.result()

    async def _read(self) -> None:
        async with aclosing(self._bridge.receive()) as items:
            async for item in items:
                assert isinstance(item, Message)
                self.messages.append(item)

    async def until(self, is_so: Callable[[], bool]) -> None:
        assert self._reading is not None
        while not is_so():
            if self._reading.done():
                self._reading.result()
            await asyncio.sleep(0.02)


async def answer_to(who: Person, room_id: str, event_id: str) -> dict[str, Any]:
    """Return the content of the notice that answers an event, once it is there."""
    while True:
        for event in await who.heard(room_id):
            relation = event["content"].get("m.relates_to", {})
            if relation.get("m.in_reply_to", {}).get("event_id") == event_id:
                return dict(event["content"])
        await asyncio.sleep(0.05)


async def ask(who: Person, room_id: str, words: str) -> str:
    """Give a command and return the words of its answer."""
    return str((await answer_to(who, room_id, await who.say(room_id, words)))["body"])
