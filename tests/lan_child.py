# SPDX-License-Identifier: GPL-3.0-or-later
"""One box of the mesh as a process of its own: the LAN bridge on its disk, and as much of a core as it needs.

`python -m tests.lan_child FOLDER TABLE`: TABLE is the bridge's, as JSON, with ``name``, and ``reaches`` (the addresses
it can call; null: all). Each line on stdin is a command, each on stdout its answer. Ends with whoever started it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from bridges.lan.addresses import Source
from bridges.lan.event import BoxId
from bridges.lan.hall import Line, Person
from bridges.lan.links import Links
from bridges.lan.meshed import MeshBridge
from gateway.clock import SystemClock
from gateway.model import (
    Address,
    BridgeContext,
    BridgeName,
    Message,
    NativeId,
    RemoteId,
    ResumePoint,
    RoutedConversation,
    Sender,
    SenderId,
    Text,
)

ROOM = "town"
RECEIVED = "received.jsonl"
_PAGE = 200


class Kept:
    """What the core has of the bridge, as far as its journal goes: each message once, with where to go on."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        self.texts: list[str] = [row[1] for row in rows]
        self.resume = ResumePoint(rows[-1][2]) if rows else None
        self.at_s: dict[str, float] = {}
        self.again = 0
        """So many came that were here."""
        self._natives = {row[0] for row in rows}

    def keep(self, message: Message) -> None:
        if message.native_id in self._natives:
            self.again += 1
            return
        assert isinstance(message.content, Text)
        row = [message.native_id, message.content.body, message.resume]
        os.write(self._file, (json.dumps(row) + "\n").encode())
        self._natives.add(message.native_id)
        self.texts.append(message.content.body)
        self.at_s[message.content.body] = time.monotonic()


class Child:
    """Does what its commands say."""

    def __init__(self, folder: Path, table: dict[str, Any]) -> None:
        self.kept = Kept(folder / RECEIVED)
        self.counts: Counter[str] = Counter()
        self.bridge = MeshBridge(
            BridgeContext(
                name=BridgeName("lan"),
                box=table.pop("name"),
                table={"kind": "lan", **table},
                state_dir=folder,
                clock=SystemClock(),
                random=random.Random(),
                conversations=(RoutedConversation(name=ROOM),),
                resume=self.kept.resume,
                count=lambda what: self.counts.update([what]),
            )
        )

    async def receive(self) -> None:
        async for message in self.bridge.receive():
            assert isinstance(message, Message)
            self.kept.keep(message)

    async def radio(self, node: str, first: int, count: int) -> float:
        """Take so many packets of a node from the air; return when that began."""
        began = time.monotonic()
        for number in range(first, first + count):
            message = Message(
                native_id=NativeId(f"mt:{node}:{number:08x}"),
                origin=Address(BridgeName("radio"), "LongFast"),
                sender=Sender(id=SenderId(f"!{node}"), name=f"node {node}"),
                content=Text(body=f"{node} {number}"),
                received_ms=time.time_ns() // 1_000_000,
                remote_id=RemoteId(f"{number:08x}"),
            )
            await self.bridge.send(message, Address(BridgeName("lan"), ROOM), key=f"{node}{number}")
        return began

    async def page(self, nick: str, first: int, count: int) -> None:
        """Have somebody say so many lines at the page."""
        person = self.bridge.hall.join(nick, f"key of {nick}")
        assert isinstance(person, Person), person
        for number in range(first, first + count):
            line = await self.bridge.hall.say(person, ROOM, f"{nick} {number}")
            assert isinstance(line, Line), line

    async def state(self) -> dict[str, object]:
        mesh = self.bridge.mesh
        up = {place.box for place in mesh.places if place.is_up}
        return {
            "log": [mesh.state.have, mesh.state.believe],
            "up": [mesh.community.name_of(box) for box in up if box],
            "live": [mesh.community.name_of(box) for box in mesh.live()],
            "received": len(self.kept.texts),
            "lines": self._count(),
        }

    async def lines(self) -> list[str]:
        """Return what the page shows, in order."""
        found: list[Line] = []
        while page := await self._before(found[0].arrival if found else None):
            found = [*page, *found]
        return [line.text for line in found]

    async def account(self) -> dict[str, object]:
        kept = self.kept
        return {
            "lines": await self.lines(),
            "received": kept.texts,
            "again": kept.again,
            "counts": self.counts,
            "lost": self.bridge.mesh.exchange.lost,
        }

    def _count(self) -> int:
        rooms = self.bridge._diary.rooms
        assert rooms is not None
        return int(rooms._db.execute("SELECT count(*) FROM line").fetchone()[0])  # asked often: it must cost little

    async def at_s(self, text: str) -> float | None:
        return self.kept.at_s.get(text)

    async def _before(self, arrival: int | None) -> Sequence[Line]:
        return await self.bridge.hall.lines(ROOM, before=arrival, limit=_PAGE)


def _reach_only(addresses: list[str]) -> None:
    learn = Links.learn

    def learn_if_it_can(self: Links, address: str, source: Source, box: BoxId | None = None) -> None:
        if address in addresses:
            learn(self, address, source, box)

    Links.learn = learn_if_it_can  # type: ignore[method-assign]


async def _commands(child: Child) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        name, arguments = json.loads(line)
        print(json.dumps(await getattr(child, name)(*arguments)), flush=True)


async def _main(folder: Path, table: dict[str, Any]) -> None:
    if (reaches := table.pop("reaches")) is not None:
        _reach_only(reaches)
    child = Child(folder, table)
    async with child.bridge:
        receiving = asyncio.create_task(child.receive())
        print(json.dumps("up"), flush=True)
        await _commands(child)
        receiving.cancel()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    asyncio.run(_main(Path(sys.argv[1]), json.loads(sys.argv[2])))
