# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.servers: what can't be opened is said in one line, and nobody shuts the others out."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.config.settings import BridgeSettings
from gateway.handed import Handed
from gateway.model import Bridge, BridgeName, ConfigError, GatewayError
from gateway.servers import Servers
from tests.contract.desk import Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, '[api]\nlisten = "127.0.0.1:0"\n') as desk:
        yield desk


@contextlib.asynccontextmanager
async def serving(desk: Desk) -> AsyncIterator[tuple[str, str]]:
    """Serve as the gateway does; yields host and port."""
    servers = Servers(desk, [])
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for name, serve in servers.open():
            group.create_task(serve(), name=name)
        try:
            host, _, port = servers.listening.rpartition(":")
            yield host, port
        finally:
            servers.stop()


async def _get(path: str, where: tuple[str, str], *, peer: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection(*where, local_addr=(peer, 0))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_hundreds_of_silent_connections_shut_nobody_out(desk: Desk) -> None:
    async with serving(desk) as where:
        one = [await asyncio.open_connection(*where, local_addr=("127.0.0.2", 0)) for _ in range(260)]
        after_one = await _get("/readyz", where)
        many = [
            await asyncio.open_connection(*where, local_addr=(f"127.0.1.{peer}", 0))
            for peer in range(1, 7)
            for _ in range(60)
        ]
        after_many = await _get("/readyz", where)
        for _, writer in (*one, *many):
            writer.close()

    assert b" 200 OK" in after_one.split(b"\r\n")[0]
    assert b" 200 OK" in after_many.split(b"\r\n")[0]


async def test_a_taken_port_is_one_line_with_the_mend_and_leaves_nothing_open(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        api = replace(desk.settings.api, port=taken.getsockname()[1])
        desk.settings = replace(desk.settings, api=api)
        with pytest.raises(
            GatewayError, match=rf"127.0.0.1:{api.port}: Address already in use.*\[api\] listen"
        ) as said:
            Servers(desk, []).open()

    assert "\n" not in str(said.value)
    assert not desk.settings.gateway.control_socket.exists()


async def test_a_taken_port_of_a_bridge_is_named_by_the_key_that_says_it(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        lan = BridgeSettings(name=BridgeName("lan"), kind="lan", direct=None, table={"sync": "", "page": address})
        desk.settings = replace(desk.settings, bridges={lan.name: lan}, api=replace(desk.settings.api, port=0))
        page = SimpleNamespace(name=lan.name, listen=address, app=None)
        with pytest.raises(GatewayError, match=r"name another port in \[bridges\.lan\] page$"):
            Servers(desk, [cast("Bridge", page)]).open()


async def test_a_socket_that_systemd_opened_is_served_at_its_address(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        desk.settings = replace(desk.settings, api=replace(desk.settings.api, port=theirs.getsockname()[1]))
        servers = Servers(desk, [], Handed({"api": theirs.dup()}))  # or: Address already in use
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for _, serve in servers.open():
                group.create_task(serve())
            answer = await _get("/readyz", theirs.getsockname())
            servers.stop()

    assert b" 200 OK" in answer.split(b"\r\n")[0]


async def test_an_address_that_is_not_ours_is_said(desk: Desk) -> None:
    desk.settings = replace(desk.settings, api=replace(desk.settings.api, host="203.0.113.1"))

    with pytest.raises(GatewayError, match=r"Name an address of this box in \[api\] listen"):
        Servers(desk, []).open()


async def test_a_file_in_the_place_of_the_run_directory_is_one_line_with_the_mend(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        desk.settings = replace(desk.settings, gateway=replace(desk.settings.gateway, run_dir=path))
        wanted = rf"{re.escape(str(path))} can't be used: (File exists|Not a directory)\. Make it .* run_dir$"
        with pytest.raises(GatewayError, match=wanted):
            Servers(desk, []).open()


async def test_a_directory_in_the_place_of_the_control_socket_is_said(desk: Desk) -> None:
    desk.settings.gateway.control_socket.mkdir(parents=True)

    with pytest.raises(GatewayError, match=r"control socket .* can't be used"):
        Servers(desk, []).open()


async def test_a_token_that_cannot_be_read_is_a_matter_of_configuration(desk: Desk, tmp_path: Path) -> None:
    desk.settings = replace(desk.settings, api=replace(desk.settings.api, token_file=tmp_path / "none"))

    with pytest.raises(ConfigError):
        Servers(desk, []).open()


async def test_eight_event_streams_of_one_address_leave_room_for_others(desk: Desk) -> None:
    async with serving(desk) as where:
        streams = []
        for _ in range(8):
            reader, writer = await asyncio.open_connection(*where, local_addr=("127.0.0.2", 0))
            writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in await reader.readline()
            streams.append(writer)
        ninth = await _get("/api/v1/events", where, peer="127.0.0.2")
        other, mine = await asyncio.open_connection(*where)
        mine.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        others = await other.readline()
        mine.close()
        streams.pop().close()
        while b" 429 " in await _first_line(where, "127.0.0.2"):
            await asyncio.sleep(0.01)
        for writer in streams:
            writer.close()
        desk.events.close()

    assert b" 429 " in ninth.split(b"\r\n")[0]
    assert b"8 event streams" in ninth
    assert b" 200 " in others


async def _first_line(where: tuple[str, str], peer: str) -> bytes:
    reader, writer = await asyncio.open_connection(*where, local_addr=(peer, 0))
    writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    try:
        return await reader.readline()
    finally:
        writer.close()
