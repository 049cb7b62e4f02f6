# SPDX-License-Identifier: GPL-3.0-or-later
"""As little of a homeserver as the Matrix bridge needs, so that it takes no time of its own.

One account, one room, nobody else in it. Each event that is put into the room is noted with the
moment its request was there in full.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

USER = "@gateway:bench.example"
ALIAS = "#town:bench.example"
ROOM = "!town:bench.example"
TOKEN = "bench"

_CLIENT = "/_matrix/client/v3/"
_NOT_FOUND = {"errcode": "M_NOT_FOUND", "error": "not here"}


class StubHomeserver:
    """Listens on a free port of 127.0.0.1. `put` is called with each event's body and `time.perf_counter()`."""

    def __init__(self) -> None:
        self.put: Callable[[str, float], None] = lambda body, at: None
        self._server: asyncio.Server | None = None
        self._polls = 0
        self._events = 0
        self._waiting: set[asyncio.TimerHandle] = set()

    @property
    def url(self) -> str:
        """Where it is."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for timer in self._waiting:
            timer.cancel()

    def answer(self, method: str, target: str, body: bytes, at: float, reply: Callable[[int, Any], None]) -> None:
        """Answer one request, now or, to a long poll, later."""
        url = urlsplit(target)
        if not url.path.startswith(_CLIENT):
            reply(HTTPStatus.OK, {"versions": ["v1.11"]})
            return
        match [method, *(unquote(part) for part in url.path.removeprefix(_CLIENT).split("/"))]:
            case ["PUT", "rooms", _, "send", _, _]:
                self._events += 1
                self.put(str(json.loads(body).get("body", "")), at)
                reply(HTTPStatus.OK, {"event_id": f"$event{self._events}"})
            case ["GET", "sync"]:
                self._sync(parse_qs(url.query), reply)
            case ["GET", "account", "whoami"]:
                reply(HTTPStatus.OK, {"user_id": USER, "device_id": "BENCH"})
            case ["GET", "joined_rooms"]:
                reply(HTTPStatus.OK, {"joined_rooms": [ROOM]})
            case ["GET", "rooms", _, "members" | "joined_members"]:
                reply(HTTPStatus.OK, {"chunk": [], "joined": {USER: {}}})
            case ["GET", "directory", "room", _] | ["POST", "join", _]:
                reply(HTTPStatus.OK, {"room_id": ROOM, "servers": ["bench.example"]})
            case _:
                reply(HTTPStatus.NOT_FOUND, _NOT_FOUND)

    def _sync(self, query: dict[str, list[str]], reply: Callable[[int, Any], None]) -> None:
        # Nothing ever happens here; a first sync is answered at once, the others as late as was asked.
        wait_s = int(query.get("timeout", ["0"])[0]) / 1000 if "since" in query else 0.0
        self._polls += 1
        content = {"next_batch": f"s{self._polls}"}

        def end() -> None:
            self._waiting.discard(timer)
            reply(HTTPStatus.OK, content)

        timer = asyncio.get_running_loop().call_later(wait_s, end)
        self._waiting.add(timer)


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with Content-Length and one request at a time, which is what aiohttp sends."""

    def __init__(self, homeserver: StubHomeserver) -> None:
        self._homeserver = homeserver
        self._held = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        at = time.perf_counter()
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._held[:end].decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self._held) < whole:
                return
            body = bytes(self._held[end + 4 : whole])
            del self._held[:whole]
            method, target, _ = first.split(" ")
            self._homeserver.answer(method, target, body, at, self._reply)

    def _reply(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        head = f"HTTP/1.1 {int(status)} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(head.encode() + body)
