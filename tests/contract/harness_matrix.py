# SPDX-License-Identifier: GPL-3.0-or-later
"""A Matrix bridge in a room of a real homeserver, on a line that can be cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

from bridges.matrix import kind
from bridges.sim.loopback import LOOPBACK, free_port
from bridges.sim.synapse import Synapse
from gateway.clock import SystemClock
from gateway.model import Address, Bridge, BridgeContext, BridgeName, RemoteId, ResumePoint, RoutedConversation
from tests.contract.harness import Shown
from tests.services import Town, build_town

HOME = BridgeName("home")
PROFILE = "com.beeper.per_message_profile"


class Cable:
    """A TCP line to a server. Cut, it refuses; mute, it holds what the server answers.

    Orphaned it is a reverse proxy with nothing behind it.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self.visited = asyncio.Event()
        self.is_orphaned = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._join, LOOPBACK, self.port)

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        lines = tuple(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        if line is None or self._server is None:  # cut between the connection and here
            writer.transport.abort()
            return
        self._lines.add(line)
        self.visited.set()
        # A cut comes as a cancellation, which is no failure of the server's.
        with suppress(OSError, asyncio.CancelledError):
            try:
                await (_refuse(reader, writer) if self.is_orphaned else self._lead_on(reader, writer))
            finally:
                writer.transport.abort()
        self._lines.discard(line)
        if not self._lines:
            self.visited.clear()

    async def _lead_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target)
        there = asyncio.create_task(_pump(reader, far_writer, None))
        back = asyncio.create_task(_pump(far_reader, writer, self.answers))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event | None) -> None:
    while data := await reader.read(65_536):
        if gate is not None:
            await gate.wait()
        writer.write(data)
        await writer.drain()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65_536):  # a request without a body comes in one piece
        page = b"<html>Bad Gateway</html>"
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
        await writer.drain()


class MatrixHarness:
    """Ali and the gateway's account in one room."""

    def __init__(self, town: Town, folder: Path, cable: Cable | None) -> None:
        self._town = town
        self._cable = cable
        self.place = Address(HOME, town.alias)
        self.nowhere = Address(HOME, f"#nowhere:{town.server.server_name}")
        folder.mkdir()
        (folder / "token").write_text(town.bot.access_token)
        self._folder = folder

    def bridge(self, *, resume: ResumePoint | None = None) -> Bridge:
        homeserver = f"http://{LOOPBACK}:{self._cable.port}" if self._cable else self._town.server.url
        table = {
            "kind": "matrix",
            "homeserver": homeserver,
            "user_id": self._town.bot.user_id,
            "access_token_file": str(self._folder / "token"),
        }
        return kind.create(
            BridgeContext(
                name=HOME,
                table=table,
                state_dir=self._folder,
                clock=SystemClock(),
                random=random.Random(),
                conversations=(RoutedConversation(name=self._town.alias),),
                resume=resume,
            )
        )

    async def say(self, body: str, *, reply_to: RemoteId | None = None) -> RemoteId:
        relation = {"m.relates_to": {"m.in_reply_to": {"event_id": reply_to}}} if reply_to else {}
        return RemoteId(await self._town.ali.say(self._town.room_id, body, **relation))

    async def shown(self) -> list[Shown]:
        return [_shown(event) for event in await self._town.ali.heard(self._town.room_id, limit=500)]

    async def cut(self) -> None:
        await (self._cable.cut() if self._cable else self._town.server.kill())

    async def mend(self) -> None:
        await (self._cable.mend() if self._cable else self._town.server.start())

    def mute(self) -> None:
        assert self._cable is not None, "a homeserver can't be muted"
        self._cable.answers.clear()

    def confuse(self) -> None:
        assert self._cable is not None
        self._cable.is_orphaned = True

    def unmute(self) -> None:
        assert self._cable is not None
        self._cable.answers.set()
        self._cable.is_orphaned = False

    async def wait_visited(self) -> None:
        assert self._cable is not None
        await self._cable.visited.wait()


def _shown(event: dict[str, Any]) -> Shown:
    content = event["content"]
    reply = content.get("m.relates_to", {}).get("m.in_reply_to", {}).get("event_id")
    prefix = f"{content[PROFILE]['displayname']}: "
    return Shown(id=RemoteId(event["event_id"]), body=content["body"].removeprefix(prefix), reply_to=reply)


@asynccontextmanager
async def room_on_a_cable(server: Synapse, folder: Path) -> AsyncIterator[MatrixHarness]:
    """A fresh room; the link is cut between bridge and homeserver, which lives on."""
    town = await build_town(server)
    try:
        async with Cable(server.port) as cable:
            yield MatrixHarness(town, folder, cable)
    finally:
        await town.ali.client.close()


@asynccontextmanager
async def room_on_a_mortal_server(server: Synapse, folder: Path) -> AsyncIterator[MatrixHarness]:
    """A fresh room; to cut the link the homeserver is killed."""
    town = await build_town(server)
    try:
        yield MatrixHarness(town, folder, None)
    finally:
        await town.ali.client.close()
