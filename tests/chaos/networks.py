# SPDX-License-Identifier: GPL-3.0-or-later
"""The far networks of the fast leg: outside the gateway, over real sockets, with a memory as real ones have.

What people say there is kept and can be asked for again from any point, as in Matrix. What the gateway sends
is shown once per key; a repeated key is counted, and answered as it was the first time.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.chaos.ledger import Ledger

LINE_BYTES = 64 * 1024


@dataclass(slots=True, kw_only=True)
class Weather:
    """What is wrong with a network now."""

    is_cut: bool = False
    delay_s: float = 0.0
    """Before each answer."""
    mute: float = 0.0
    """Which share of what was shown is never answered."""
    busy: float = 0.0
    """Which share is turned away."""
    forgets: bool = False
    """A network without a memory of keys: real ones are not so, but the ledger must see what it does."""


class FarNetwork:
    """One network: people on it, and a socket for the gateway. ``async with`` opens it."""

    def __init__(self, name: str, other: str, path: Path, ledger: Ledger, chance: random.Random) -> None:
        """`other`: where what is said here goes, to the conversation of the same name."""
        self.name = name
        self.path = path
        self.weather = Weather()
        self.repeats = 0
        """How often a key came again."""
        self._other = other
        self._ledger = ledger
        self._chance = chance
        self._said: list[tuple[str, str]] = []
        self._numbers: Counter[str] = Counter()
        self._shown: dict[str, str] = {}
        self._grown = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._talk, self.path, limit=LINE_BYTES)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.hang_up()
        if self._server is not None:
            self._server.close()

    def say(self, conversation: str) -> None:
        """Have somebody say the next thing in a conversation: from now on it must arrive on the other side."""
        self._numbers[conversation] += 1
        number = self._numbers[conversation]
        self._ledger.accept(f"{self.name}/{conversation}>{self._other}/{conversation}", number)
        body = f"{self.name}/{conversation}#{number} " + "x" * self._chance.randrange(160)
        self._said.append((conversation, body))
        self._grown.set()
        self._grown = asyncio.Event()

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def cut(self) -> None:
        """Close every connection, and each new one, until `mend`."""
        self.weather.is_cut = True
        self.hang_up()

    def mend(self) -> None:
        """Let the gateway in again."""
        self.weather.is_cut = False

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.weather.is_cut:
                return
            hello = json.loads(await reader.readline())
            if "resume" in hello:
                await self._tell(int(hello["resume"]), writer)
            else:
                await self._listen(reader, writer)
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # the line was cut, or the gateway died in the middle of a word
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _tell(self, at: int, writer: asyncio.StreamWriter) -> None:
        """Say everything from `at` on, for as long as somebody listens."""
        while True:
            while at < len(self._said):
                conversation, body = self._said[at]
                await _write(writer, {"at": at, "conversation": conversation, "body": body})
                at += 1
            await self._grown.wait()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            answer = self._show(json.loads(line))
            if answer is None:
                continue
            if self.weather.delay_s:
                asyncio.get_running_loop().call_later(self.weather.delay_s, _write_now, writer, answer)
            else:
                await _write(writer, answer)

    def _show(self, sent: dict[str, Any]) -> dict[str, Any] | None:
        if self._chance.random() < self.weather.busy:
            return {"id": sent["id"], "error": "busy"}
        remote = self._shown.get(sent["key"])
        if remote is not None:
            self.repeats += 1
        if remote is None or self.weather.forgets:
            remote = self._shown[sent["key"]] = f"{self.name}-{len(self._shown)}"
            origin, _, rest = sent["body"].partition("#")
            number = rest.partition(" ")[0]
            stream = f"{origin}>{self.name}/{sent['to']}"
            self._ledger.see(stream, int(number) if number.isdigit() else 0, is_early=origin == "api")
        return None if self._chance.random() < self.weather.mute else {"id": sent["id"], "remote": remote}


async def _write(writer: asyncio.StreamWriter, said: dict[str, Any]) -> None:
    _write_now(writer, said)
    await writer.drain()


def _write_now(writer: asyncio.StreamWriter, said: dict[str, Any]) -> None:
    if not writer.transport.is_closing():
        writer.write(json.dumps(said).encode() + b"\n")
