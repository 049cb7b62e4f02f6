# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chat page costs with three hundred browsers that read along: event streams on real connections.

Browsers come from many addresses of the loopback network, for one address may not have so many.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.running import resident_mib
from tests.bench.talk import percentile

BROWSERS = 300
LINES = 60
EVERY_S = 0.25
SETTLE_S = 2.0
_HOST = "Host: localhost\r\n"
_LAST = b"number 199"
_STAMP = re.compile(rb"stamp-(\d+)\D")


@dataclass(kw_only=True)
class Reading:
    """What one browser heard."""

    heard: dict[bytes, float] = field(default_factory=dict)
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)
    """It has all that was said before."""


async def page(folder: Path) -> dict[str, float]:
    """Milliseconds from sending a line's form to each browser's having it, and MiB more than before anybody came."""
    del folder
    async with _child() as (pid, port):
        await asyncio.sleep(SETTLE_S)
        idle = resident_mib(pid)
        readings = [Reading() for _ in range(BROWSERS)]
        tasks = [asyncio.create_task(_read(port, number, one)) for number, one in enumerate(readings)]
        try:
            writer = await _join(port)
            await asyncio.gather(*(one.caught_up.wait() for one in readings))
            await asyncio.sleep(SETTLE_S)
            sent = await _say(port, writer)
            await asyncio.sleep(SETTLE_S)
            added = resident_mib(pid) - idle
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    took = [1000 * (one.heard[stamp] - at) for one in readings for stamp, at in sent.items()]
    return {"page_p99_ms": percentile(took, 99), "page_added_mib": added}


@asynccontextmanager
async def _child() -> AsyncIterator[tuple[int, int]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.page_child", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


async def _open(port: int, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(f"127.0.{1 + number // 200}.{1 + number % 200}", 0)
    )


async def _read(port: int, number: int, reading: Reading) -> None:
    reader, writer = await _open(port, number)
    try:
        writer.write(f"GET /r/town/events?after=0 HTTP/1.1\r\n{_HOST}\r\n".encode())
        rest = b""
        while data := await reader.read(65_536):
            rest += data
            if _LAST in rest:
                reading.caught_up.set()
            for stamp in _STAMP.findall(rest):
                reading.heard.setdefault(stamp, time.perf_counter())
            rest = rest[-20:]
    finally:
        writer.close()


async def _ask(port: int, request: str) -> str:
    reader, writer = await _open(port, 50_000)
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


def _form(path: str, fields: str, more: str = "") -> str:
    head = (
        f"POST {path} HTTP/1.1\r\n{_HOST}Connection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n{more}"
    )
    return f"{head}Content-Length: {len(fields)}\r\n\r\n{fields}"


async def _join(port: int) -> tuple[str, str]:
    start = await _ask(port, f"GET / HTTP/1.1\r\n{_HOST}Connection: close\r\n\r\n")
    joined = await _ask(port, _form("/join", f"nick=Ada&room=town&token={_token(start)}"))
    place = re.search(r"(/g/[^/]+)", joined)
    assert place is not None, joined
    room = await _ask(port, f"GET {place[1]}/r/town/ HTTP/1.1\r\n{_HOST}Connection: close\r\n\r\n")
    return place[1], _token(room)


def _token(page: str) -> str:
    found = re.search(r'name="token" value="(\w+)"', page)
    assert found is not None, page
    return found[1]


async def _say(port: int, writer: tuple[str, str]) -> dict[bytes, float]:
    place, token = writer
    sent: dict[bytes, float] = {}
    for number in range(LINES):
        began = time.perf_counter()
        sent[str(number).encode()] = began
        form = _form(
            f"{place}/r/town/say", f"text=stamp-{number}&form={number}&token={token}", "Accept: application/json\r\n"
        )
        answer = await _ask(port, form)
        assert "200 OK" in answer, answer
        await asyncio.sleep(max(0.0, EVERY_S - (time.perf_counter() - began)))
    return sent
