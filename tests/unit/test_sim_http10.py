# SPDX-License-Identifier: GPL-3.0-or-later
"""One request, one answer, or an OSError."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest

from bridges.sim.http10 import NoAnswerError, ask


@asynccontextmanager
async def server(answer: bytes, *, path=None):
    """Answer every connection with these bytes, once a whole request is there."""
    asked: list[bytes] = []

    async def talk(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
        asked.append(head + await reader.readexactly(length))
        writer.write(answer)
        await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        answered.set()

    answered = asyncio.Event()
    if path is None:
        listening = await asyncio.start_server(talk, "127.0.0.1", 0)
        place = listening.sockets[0].getsockname()
    else:
        listening = await asyncio.start_unix_server(talk, path)
        place = path
    async with listening:
        yield place, asked
        await answered.wait()


async def test_the_answer_is_read_to_its_end_and_decoded():
    async with server(b'HTTP/1.1 200 OK\r\n\r\n{"a": 1}') as (place, asked):
        answer = await ask(place, "PUT", "/x?y=z", body={"b": "ü"}, token="T", headers={"Idempotency-Key": "k"})

    assert (answer.status, answer.json()) == (200, {"a": 1})
    assert asked[0].startswith(b"PUT /x?y=z HTTP/1.0\r\n")
    assert b"Authorization: Bearer T\r\n" in asked[0]
    assert b"Idempotency-Key: k\r\n" in asked[0]
    assert asked[0].endswith(b'\r\n\r\n{"b": "\\u00fc"}')


async def test_a_unix_socket_is_asked_the_same_way(tmp_path):
    async with server(b"HTTP/1.0 503 No\r\nContent-Length: 2\r\n\r\nno", path=tmp_path / "s") as (place, _):
        answer = await ask(place, "GET", "/readyz")

    assert (answer.status, answer.body) == (503, b"no")


@pytest.mark.parametrize(
    "nonsense", [b"", b"HTTP/1.1 200 OK\r\n", b"hello\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nshort"]
)
async def test_half_an_answer_is_none(nonsense):
    async with server(nonsense) as (place, _):
        with pytest.raises(NoAnswerError):
            await ask(place, "GET", "/")


async def test_nobody_there_and_nobody_answering_are_os_errors(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        await ask(tmp_path / "absent", "GET", "/")

    gone = asyncio.Event()

    async def silent(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        gone.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
        with pytest.raises(NoAnswerError, match="within"):
            await ask(listening.sockets[0].getsockname(), "GET", "/", timeout_s=0.05)
        await gone.wait()


async def test_a_page_that_is_not_json_says_so():
    async with server(b"HTTP/1.0 502 Bad\r\n\r\n<html>") as (place, _):
        answer = await ask(place, "GET", "/")
    with pytest.raises(NoAnswerError, match="502"):
        answer.json()
