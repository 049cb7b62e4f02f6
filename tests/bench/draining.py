# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a backlog drains into a real Synapse, against a bare client that says the same on the same server.

Rate limits are off. Slice by slice: a slice of the backlog through the gateway's core, then the same number of
messages by nio alone, as many rooms at once, each room in order.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import nio

from bridges.matrix import kind as matrix
from bridges.sim.synapse import Account, Synapse
from gateway.model import Address, BridgeKind, BridgeName, Message, NativeId, RemoteId, Sender, SenderId, Text
from gateway.registry import Registry
from tests.bench.pipeline import CountingOutbox, InstantBridge, core

ROOMS = 8
SLICES = 6
EACH = 250
"""Messages a slice: 1,500 in all."""

_CONFIG = """
[gateway]
name = "bench"
data_dir = "data"
[bridges.near]
kind = "instant"
[bridges.home]
kind = "matrix"
homeserver = "{url}"
user_id = "{user}"
access_token_file = "token"
"""
_ROUTE = '[[routes]]\nname = "r{n}"\nfrom = ["near/{n}"]\nto = ["home/{room}"]\n'


def _message(number: int) -> Message:
    return Message(
        native_id=NativeId(f"bench:{number}"),
        origin=Address(BridgeName("near"), str(number % ROOMS)),
        sender=Sender(id=SenderId("!a1b2c301"), name="Someone"),
        content=Text(body=f"message {number} " + "x" * 180),
        received_ms=time.time_ns() // 1_000_000,
        remote_id=RemoteId(f"packet {number}"),
    )


class Client:
    """A bare client: nio and nothing else."""

    def __init__(self, url: str, account: Account) -> None:
        self.nio = nio.AsyncClient(url, account.user_id)
        self.nio.access_token = account.access_token
        self.nio.user_id = account.user_id

    async def rooms(self) -> list[str]:
        made = [await self.nio.room_create() for _ in range(ROOMS)]
        return [str(room.room_id) for room in made]

    async def say(self, room: str, content: dict[str, Any]) -> None:
        sent = await self.nio.room_send(room, "m.room.message", content)
        assert hasattr(sent, "event_id"), sent

    async def last_content(self, room: str) -> dict[str, Any]:
        page = await self.nio.room_messages(room, None, limit=20)
        return next(dict(e.source["content"]) for e in page.chunk if e.source["type"] == "m.room.message")


async def draining(folder: Path) -> dict[str, float]:
    """Return the gateway's messages a second over the bare client's."""
    async with Synapse(folder / "synapse", database="file") as server:
        client = Client(server.url, await server.register_user("gateway"))
        try:
            return {"drain_ratio": await _measured(folder, server, client)}
        finally:
            await client.nio.close()


async def _measured(folder: Path, server: Synapse, client: Client) -> float:
    mine, bare = await client.rooms(), await client.rooms()
    (folder / "core").mkdir()
    (folder / "core/token").write_text(client.nio.access_token)
    (folder / "core/token").chmod(0o600)
    instant = BridgeKind(create=InstantBridge, check=lambda _: frozenset())
    registry = Registry({"matrix": lambda: matrix, "instant": lambda: instant})
    config = _CONFIG.format(url=server.url, user=client.nio.user_id)
    config += "".join(_ROUTE.format(n=n, room=room) for n, room in enumerate(mine))
    async with core(folder / "core", config, registry, outbox_type=CountingOutbox) as (parts, _, outbox):
        for number in range(ROOMS):
            await parts.intake.accept(_message(number))
        await outbox.settled_up_to(ROOMS)
        content = await client.last_content(mine[0])
        gateway_s = bare_s = 0.0
        for done in range(ROOMS, ROOMS + SLICES * EACH, EACH):
            began = time.perf_counter()
            for number in range(done, done + EACH):
                await parts.intake.accept(_message(number))
            await outbox.settled_up_to(done + EACH)
            between = time.perf_counter()
            await _say_all(client, bare, content)
            gateway_s += between - began
            bare_s += time.perf_counter() - between
    return bare_s / gateway_s


async def _say_all(client: Client, rooms: list[str], content: dict[str, Any]) -> None:
    """Say a slice's number of messages of the gateway's own size and shape, in all rooms at once."""

    async def say(nth: int, room: str) -> None:
        for _ in range(nth, EACH, ROOMS):
            await client.say(room, content)

    async with asyncio.TaskGroup() as group:
        for nth, room in enumerate(rooms):
            group.create_task(say(nth, room))
