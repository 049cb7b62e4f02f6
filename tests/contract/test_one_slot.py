# SPDX-License-Identifier: GPL-3.0-or-later
"""Several who speak to a Cluster at once, as its slot moves: whom they left hears no more of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio import Connection, ConnectionPool, Redis

from gateway.outbox.one_slot import OneSlot


class Answering:
    """A server that has the same answer for all; it counts who is connected."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.port = 0
        self.connected = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Answering]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        with suppress(OSError, asyncio.CancelledError):
            while said := await reader.read(1000):
                writer.write(said.count(b"*") * self.answer)
        self.connected -= 1
        writer.close()


def moved_to(other: Answering) -> Answering:
    return Answering(b"-MOVED 1 127.0.0.1:%d\r\n" % other.port)


class Ways:
    """How connections are made: those begun while there is no way wait for it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.tried = asyncio.Event()

    def client(self, host: str, port: int) -> Redis:
        ways = self

        class Late(Connection):
            async def connect(self, *args: Any, **options: Any) -> None:
                way = ways.open
                ways.tried.set()
                await way.wait()
                await super().connect(*args, **options)  # type: ignore[no-untyped-call]  # theirs is untyped

        return Redis.from_pool(ConnectionPool(connection_class=Late, host=host, port=port, protocol=2))


async def test_who_was_still_connecting_as_another_left_the_node_leaves_nothing_open_there() -> None:
    ways = Ways()
    async with Answering(b"+here\r\n").listening() as there, moved_to(there).listening() as here:
        slot = OneSlot([("127.0.0.1", here.port)], key="k", connect=ways.client)
        slow = asyncio.create_task(slot.execute_command("EXISTS", "k"))
        await ways.tried.wait()
        blocked, ways.open = ways.open, asyncio.Event()
        ways.open.set()
        assert await slot.execute_command("EXISTS", "k") == b"here"  # moved there
        blocked.set()
        assert await slow == b"here"
        async with asyncio.timeout(5):
            while here.connected:
                await asyncio.sleep(0.01)
        assert there.connected
        await slot.aclose()
