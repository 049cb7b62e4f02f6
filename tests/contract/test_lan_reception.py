# SPDX-License-Identifier: GPL-3.0-or-later
"""The boxes' listener under strangers who begin a handshake and say no more: boxes find a place, and it is counted."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bridges.lan.identity import box_key
from bridges.lan.reception import MOST, MOST_EACH, Reception, household
from bridges.lan.tls import Contexts
from tests.lan_boxes import LanBox, community, until

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def silent(port: int, count: int, *peers: str) -> AsyncIterator[list[Ends]]:
    """Connect from each address, and say nothing."""
    ends = [
        await asyncio.open_connection("127.0.0.1", port, local_addr=(peer, 0)) for peer in peers for _ in range(count)
    ]
    try:
        yield ends
    finally:
        for _, writer in ends:
            writer.transport.abort()


async def hung_up(ends: list[Ends]) -> int:
    """Return on how many the box has hung up by now."""
    over = 0
    for reader, _ in ends:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                with suppress(ConnectionResetError):
                    assert await reader.read(1) == b""
                over += 1
    return over


def greeted(box: LanBox) -> int:
    reception = box.mesh._server._reception
    assert reception is not None
    return reception.greeted


async def asked(box: LanBox, of: LanBox, peer: str) -> bytes:
    """Ask as a box that belongs does; return the answer's first line."""
    contexts = Contexts(of.key)
    contexts.accept([box.key.public_key()])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", box.mesh.port, ssl=contexts.client, local_addr=(peer, 0)
    )
    writer.write(b"POST /sync HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n[")
    line = await reader.readline()
    writer.transport.abort()
    return line


async def test_one_address_gets_so_many_places_and_no_more(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b") as (a, b), silent(a.mesh.port, 50, "127.0.0.2") as ends:
        await until(lambda: a.counts["handshakes_many"] == 50 - MOST_EACH)
        assert await hung_up(ends) == 50 - MOST_EACH
        assert greeted(a) == MOST_EACH
        assert b" 400 " in await asked(a, b, "127.0.0.1"), "who belongs, and calls from elsewhere, is answered"
        assert a.counts["handshakes_many"] == 50 - MOST_EACH


async def test_many_addresses_take_all_places_and_who_belongs_finds_one_all_the_same(tmp_path: Path) -> None:
    peers = [f"127.0.2.{nth}" for nth in range(1, 31)]
    async with community(tmp_path, "a", "b") as (a, b), silent(a.mesh.port, MOST_EACH, *peers):
        await until(lambda: a.counts["handshakes_many"] >= len(peers) * MOST_EACH - MOST)
        assert greeted(a) == MOST
        for _ in range(3):
            assert b" 400 " in await asked(a, b, "127.0.0.1")
        assert greeted(a) <= MOST


async def test_places_are_given_back_and_a_mesh_that_closes_waits_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridges.lan.reception.HANDSHAKE_S", 0.2)
    async with community(tmp_path, "a") as (a,):
        async with silent(a.mesh.port, MOST_EACH, "127.0.0.2") as ends:
            await until(lambda: greeted(a) == MOST_EACH)
            await until(lambda: greeted(a) == 0)
            assert await hung_up(ends) == MOST_EACH
        monkeypatch.setattr("bridges.lan.reception.HANDSHAKE_S", 60.0)
        async with silent(a.mesh.port, 3, "127.0.0.2") as ends:
            await until(lambda: greeted(a) == 3)
            await a.stop()
            assert await hung_up(ends) == 3
            await a.start()


@pytest.mark.parametrize(
    ("host", "whose"),
    [
        ("192.168.4.7", "192.168.4.7"),
        ("2001:db8:1:2:aaaa::7", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::8", "2001:db8:1:2::/64"),
        ("fe80::1%wlan0", "fe80::1"),
        ("fe80::2", "fe80::2"),
        ("", ""),
    ],
)
def test_an_address_counts_for_its_host_or_its_network(host: str, whose: str) -> None:
    assert household(host) == whose


@pytest.mark.parametrize("turns", range(5))
async def test_who_calls_in_the_moment_in_which_a_box_closes_is_hung_up_on(tmp_path: Path, turns: int) -> None:
    """Else the connection stayed open, nobody's, until the interpreter collected it."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as caller:
        listening.setblocking(False)
        reception = Reception(asyncio.Protocol, Contexts(box_key(tmp_path)).server, count=pytest.fail)
        reception.open([listening])
        await asyncio.sleep(0.01)
        caller.connect(listening.getsockname())
        for _ in range(turns):
            await asyncio.sleep(0)
        await reception.close()
        gc.collect()  # what is nobody's is warned of here, and fails this test
        caller.settimeout(5)
        with suppress(ConnectionResetError):
            assert caller.recv(1) == b""
