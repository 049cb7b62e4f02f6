# SPDX-License-Identifier: GPL-3.0-or-later
"""What the client makes of servers that aren't well: real sockets, a server that misbehaves by the path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from bridges.matrix.client import Client, Refused
from bridges.sim.loopback import free_port
from gateway.model import BridgeError, LinkDown, RateLimited, Unconfirmed

ANSWERS = {
    "html": b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>",
    "array": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "proxy": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops",
    "error": b"HTTP/1.1 500 Error\r\nContent-Length: 25\r\n\r\n" + b'{"errcode": "M_UNKNOWN" }',
    "patience": b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "noise": b"\x94\xc3\x00\x01\xff\r\n\r\n",
    "nothing": b"",
    "large": b"HTTP/1.1 413 Large\r\nContent-Length: 4\r\n\r\nbig!",
}


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    stop = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            name = head.split()[1].decode().rpartition("/")[2]
            if name == "silence":
                await stop.wait()
            writer.write(ANSWERS.get(name, b""))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = Client(f"http://127.0.0.1:{port}", "@us:gw.test", timeout_s=0.5)
    await made.connect()
    yield made
    stop.set()
    await made.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("path", "asked", "sent"),
    [
        ("html", LinkDown, LinkDown),
        ("array", LinkDown, LinkDown),
        ("proxy", LinkDown, LinkDown),
        ("error", LinkDown, Unconfirmed),
        ("patience", RateLimited, RateLimited),
        ("cut", LinkDown, LinkDown),
        ("noise", LinkDown, LinkDown),
        ("nothing", LinkDown, LinkDown),
        ("silence", LinkDown, Unconfirmed),
        ("large", Refused, Refused),
    ],
)
async def test_a_server_that_is_not_well(
    client: Client, path: str, asked: type[BridgeError], sent: type[BridgeError]
) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(BridgeError) as refused:
            await client.get(path)
        assert type(refused.value) is asked
        with pytest.raises(BridgeError) as unsent:
            await client.put(path, body={})
        assert type(unsent.value) is sent
        if isinstance(refused.value, RateLimited):
            assert refused.value.retry_after_s == 3


async def test_nobody_there_or_no_such_name() -> None:
    for url in (f"http://127.0.0.1:{free_port()}", "http://name.invalid"):
        client = Client(url, "@us:gw.test")
        await client.connect()
        async with asyncio.timeout(20):
            with pytest.raises(LinkDown, match="can't be reached"):
                await client.put("x", body={})
        await client.close()
        with pytest.raises(LinkDown, match="not connected"):
            await client.get("x")
