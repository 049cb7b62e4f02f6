# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway between a radio and the LAN, in this process, whose page's hall a test holds.

As a program, `lan_gateway.py CONFIG HOP TEXT`, it has somebody say TEXT at the page and kills itself at HOP:
`logged` (the core has had no look at it) or `stored` (the core has it, and nothing more was done).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bridges.lan import kind as lan_kind
from bridges.lan.bridge import LanBridge
from bridges.lan.hall import Line, Person
from gateway import service
from gateway.config import load
from gateway.model import BridgeContext, BridgeKind
from gateway.registry import Registry

CONFIG = """\
[gateway]
name = "hilltop"
data_dir = "data"
run_dir = "run"
[api]
listen = "127.0.0.1:0"
[bridges.radio]
kind = "meshtastic"
connection = "serial:{port}"
airtime_share = "100%"
[bridges.lan]
kind = "lan"
page = "127.0.0.1:0"
sync = "127.0.0.1:0"
[[routes]]
name = "town"
join = ["radio/LongFast", "lan/town"]
[permissions]
"*" = "transmit"
"~*" = "transmit"
"""
WITHIN_S = 40.0


class KilledBridge(LanBridge):
    """Ends its process at one hop."""

    hop = ""

    async def receive(self):
        if self.hop == "logged":
            await asyncio.Event().wait()
        async for message in super().receive():
            yield message
            os.kill(os.getpid(), signal.SIGKILL)


class LanGateway:
    """What runs, as far as a test asks it."""

    def __init__(self, config: Path, *, create: Callable[[BridgeContext], LanBridge] = LanBridge) -> None:
        self._config = config
        self._create = create
        self.lan: LanBridge

    def _kept(self, context: BridgeContext) -> LanBridge:
        self.lan = self._create(context)
        return self.lan

    @asynccontextmanager
    async def running(self) -> AsyncIterator[LanGateway]:
        kind = BridgeKind(
            create=self._kept, check=lan_kind.check, is_direct=lan_kind.is_direct, acknowledges=lan_kind.acknowledges
        )
        installed = Registry.installed()
        kinds = {name: partial(installed.kind, name) for name in installed.names}
        registry = Registry({**kinds, "lan": lambda: kind})
        settings = load(self._config, {}, registry=registry)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(service.serve(settings, registry=registry, stop=stop))
            try:
                await self.until(lambda: hasattr(self, "lan") and self.lan.is_open)
                yield self
            finally:
                stop.set()

    def join(self, nick: str) -> Person:
        person = self.lan.hall.join(nick, f"key of {nick}")
        assert isinstance(person, Person)
        return person

    async def say(self, text: str, **more: Any) -> Line:
        line = await self.lan.hall.say(self.join("ali"), "town", text, **more)
        assert isinstance(line, Line), line
        return line

    async def lines(self) -> Sequence[Line]:
        return await self.lan.hall.lines("town")

    async def line(self, holds: Callable[[Line], bool]) -> Line:
        """Return the first line of which this holds, once there is one."""
        async with asyncio.timeout(WITHIN_S):
            while not (found := [line for line in await self.lines() if holds(line)]):
                await asyncio.sleep(0.05)
        return found[0]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not holds():
                await asyncio.sleep(0.02)


async def _play(config: Path, hop: str, text: str) -> None:
    KilledBridge.hop = hop
    async with LanGateway(config, create=KilledBridge).running() as gateway:
        await gateway.say(text)
        if hop == "logged":
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(WITHIN_S)


if __name__ == "__main__":
    asyncio.run(_play(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
