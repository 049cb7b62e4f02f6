# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.connections: who says nothing goes, and nobody takes all the places."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from gateway.connections import Peers, connections_of
from gateway.servers import Server

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HERE, THERE = "127.0.0.1", "127.0.0.2"


class Served:
    """A small server; what is asked of /hold is answered when `held` is set."""

    def __init__(self, peers: Peers, head_within_s: float, sock: socket.socket) -> None:
        self.held = asyncio.Event()
        self._sock = sock
        kind = connections_of(peers)
        kind.head_within_s = head_within_s
        self.server = Server(
            uvicorn.Config(self._app, http=kind, interface="asgi3", lifespan="off", log_config=None, ws="none")
        )
        self._writers: list[asyncio.StreamWriter] = []

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/hold":
            await self.held.wait()
        await PlainTextResponse("ok")(scope, receive, send)

    async def connect(self, peer: str = HERE) -> Streams:
        streams = await asyncio.open_connection(*self._sock.getsockname(), local_addr=(peer, 0))
        self._writers.append(streams[1])
        return streams

    async def ask(self, peer: str = HERE) -> bytes:
        reader, writer = await self.connect(peer)
        writer.write(ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        return await _rest(reader)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def _answer(streams: Streams) -> bytes:
    head = await streams[0].readuntil(b"\r\n\r\n")
    return head.split(b"\r\n")[0] + await streams[0].readexactly(2)


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve() -> Serve:
    @contextlib.asynccontextmanager
    async def serving(head_within_s: float = 30, **limits: int) -> AsyncIterator[Served]:
        with socket.create_server((HERE, 0)) as sock:
            served = Served(Peers(**limits), head_within_s, sock)
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                group.create_task(served.server.serve(sockets=[sock]))
                try:
                    yield served
                finally:
                    served.close()
                    served.held.set()
                    served.server.should_exit = True

    return serving


async def test_a_connection_that_says_nothing_is_closed(serve: Serve) -> None:
    async with serve(head_within_s=0.05) as served:
        reader, _ = await served.connect()

        assert await _rest(reader) == b""


async def test_single_bytes_do_not_buy_time(serve: Serve) -> None:
    async with serve(head_within_s=0.2) as served:
        reader, writer = await served.connect()

        async def drip() -> None:
            while True:
                writer.write(b"G")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        assert await _rest(reader) == b""
        dripping.cancel()


async def test_after_an_answer_too_the_next_request_has_to_come(serve: Serve) -> None:
    async with serve(head_within_s=0.1) as served:
        streams = await served.connect()
        streams[1].write(ASK)
        assert await _answer(streams) == b"HTTP/1.1 200 OKok"
        streams[1].write(ASK[:10])

        assert await _rest(streams[0]) == b""


async def test_an_answer_may_take_its_time_and_requests_may_follow_each_other(serve: Serve) -> None:
    async with serve(head_within_s=0.05) as served:
        streams = await served.connect()
        streams[1].write(ASK.replace(b"GET /", b"GET /hold"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(streams[0].readexactly(1), 0.15)
        served.held.set()

        assert await _answer(streams) == b"HTTP/1.1 200 OKok"
        streams[1].write(ASK + ASK)
        assert [await _answer(streams), await _answer(streams)] == [b"HTTP/1.1 200 OKok"] * 2


async def test_one_address_has_its_share_and_others_still_get_in(serve: Serve) -> None:
    async with serve(per_peer=3) as served:
        mine = [await served.connect() for _ in range(3)]

        assert await served.ask() == b""
        assert b"200 OK" in await served.ask(THERE)
        mine[0][1].close()
        await mine[0][1].wait_closed()
        while not (answer := await served.ask()):
            await asyncio.sleep(0.01)
        assert b"200 OK" in answer


async def test_when_all_places_are_taken_the_quietest_makes_room(serve: Serve) -> None:
    async with serve(most=3) as served:
        busy = await served.connect(THERE)
        busy[1].write(ASK.replace(b"GET /", b"GET /hold"))
        silent = [await served.connect(f"127.0.0.{peer}") for peer in (3, 4)]

        assert b"200 OK" in await served.ask()
        assert await _rest(silent[0][0]) == b""
        served.held.set()
        assert await _answer(busy) == b"HTTP/1.1 200 OKok"


async def test_when_all_are_busy_a_newcomer_is_refused(serve: Serve) -> None:
    async with serve(most=1) as served:
        busy = await served.connect(THERE)
        busy[1].write(ASK.replace(b"GET /", b"GET /hold"))
        while not served.server.server_state.tasks:
            await asyncio.sleep(0.01)

        assert await served.ask() == b""
        served.held.set()
        assert await _answer(busy) == b"HTTP/1.1 200 OKok"


async def test_a_unix_socket_has_no_share_each(tmp_path_factory: pytest.TempPathFactory) -> None:
    path: Path = tmp_path_factory.mktemp("s") / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        served = Served(Peers(per_peer=1), 30, sock)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(served.server.serve(sockets=[sock]))
            while not served.server.started:
                await asyncio.sleep(0.01)
            streams = [await asyncio.open_unix_connection(path) for _ in range(3)]
            for one in streams:
                one[1].write(ASK)
                assert await _answer(one) == b"HTTP/1.1 200 OKok"
                one[1].close()
            served.server.should_exit = True
