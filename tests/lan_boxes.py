# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes of one community in this process, with sockets, TLS and disks of their own; and a cable that can be cut."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.addresses import Source
from bridges.lan.event import BoxId
from bridges.lan.identity import box_key, keep_community
from bridges.lan.membership import root_of
from bridges.lan.mesh import Mesh
from bridges.lan.mesh_settings import MeshSettings

WITHIN_S = 40.0


class WallClock:
    """Time as it is."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class LanBox:
    """A box that can be switched on and off."""

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        self.name = name
        self.folder = folder
        folder.mkdir(mode=0o700)
        self.key: Ed25519PrivateKey = box_key(folder)
        self.peers: list[str] = []
        self.counts: Counter[str] = Counter()
        self.sync = "127.0.0.1:0"
        self.alone_s = 0.0
        self.discover = False
        self.interfaces: tuple[str, ...] = ()
        self.reaches: set[str] | None = None
        """Where it can call; None: everywhere."""
        self._chance = random.Random(seed)
        self._mesh: Mesh | None = None

    @property
    def mesh(self) -> Mesh:
        assert self._mesh is not None
        return self._mesh

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.mesh.port}"

    async def start(self) -> None:
        settings = MeshSettings(
            name=self.name,
            sync=self.sync,
            peers=tuple(self.peers),
            alone_s=self.alone_s,
            discover=self.discover,
            interfaces=self.interfaces,
        )
        mesh = Mesh(settings, self.folder, clock=WallClock(), chance=self._chance, count=self.count)
        self._mesh = await mesh.__aenter__()
        learn = mesh._links.learn

        def learn_if_it_can(address: str, source: Source, box: BoxId | None = None) -> None:
            if self.reaches is None or address in self.reaches:
                learn(address, source, box)

        mesh._links.learn = learn_if_it_can
        self.sync = f"{self.sync.rpartition(':')[0]}:{self.mesh.port}"

    async def stop(self) -> None:
        if self._mesh is not None:
            await self._mesh.__aexit__(None, None, None)
            self._mesh = None

    def count(self, kind: str) -> None:
        self.counts[kind] += 1

    async def heard(self) -> list[str]:
        """What everybody said, as this box had it, in order."""
        return [each.event.native for each in await self.mesh.news(0, 100_000) if each.event.native]

    async def say(self, count: int, name: str = "") -> list[str]:
        natives = [f"web:{name or self.name}/{number}" for number in range(count)]
        for native in natives:
            assert await self.mesh.append(native, '{"text":"hello"}')
        return natives


@asynccontextmanager
async def community(folder: Path, *names: str, seed: int = 1) -> AsyncIterator[list[LanBox]]:
    """Boxes that belong together; all are on, and none knows where another is."""
    boxes = [LanBox(name, folder / name, seed + number) for number, name in enumerate(names)]
    root = root_of(boxes[0].key.public_key(), names[0])
    async with AsyncExitStack() as running:
        for box in boxes:
            keep_community(box.folder, root)
            running.push_async_callback(box.stop)
            await box.start()
        for box in boxes[1:]:
            await boxes[0].mesh.community.add(box.key.public_key().public_bytes_raw(), box.name)
        for box in boxes[1:]:
            await box.mesh.community.believe(await boxes[0].mesh.community.statements())
        yield boxes


async def until(true: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """Wait until it is true; a failure says what never was."""
    async with asyncio.timeout(within_s):
        while True:
            found = true()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)


class Cable:
    """Carries TCP to a box until it is cut: then nothing comes through, and nobody is told."""

    def __init__(self, to: str) -> None:
        self._to = to
        self._server: asyncio.Server | None = None
        self._through = asyncio.Event()
        self._through.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.carried = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        self._through.clear()

    def join(self) -> None:
        self._through.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        host, _, port = self._to.rpartition(":")
        with suppress(OSError, asyncio.CancelledError):
            await self._through.wait()
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            try:
                await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
            finally:
                far_writer.close()
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._through.wait()
            self.carried += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()
