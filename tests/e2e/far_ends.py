# SPDX-License-Identifier: GPL-3.0-or-later
"""Two scripted networks with a whole gateway between them, in this process: for outages of days.

What was said and what was shown is kept by the networks, not by the gateway: that is the ledger.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bridges.sim.http10 import ask
from gateway import service
from gateway.config import load
from gateway.model import (
    Address,
    BridgeKind,
    Capabilities,
    LinkDown,
    Message,
    NativeId,
    Receipt,
    RemoteId,
    ResumePoint,
    Sender,
    SenderId,
    Support,
    Text,
)
from gateway.registry import Registry
from tests.clocks import HurryingClock

ROOMS = 8
DAY_S = 24 * 3600.0
LOOK_EVERY_S = 0.1

CONFIG = """
[gateway]
name = "box"
data_dir = "{folder}/data"
run_dir = "{folder}/run"
[queue]
url = "{queue}"
[api]
listen = "127.0.0.1:0"
[bridges.home]
kind = "scripted"
[bridges.radio]
kind = "scripted"
"""
ROUTE = """
[[routes]]
name = "r{n}"
join = ["home/room{n}", "radio/room{n}"]
expires = {{ radio = "6h" }}
"""


@dataclass
class Network:
    """One far side: what people there said, and what they were shown. It may be away."""

    is_up: bool = True
    said: list[tuple[str, str]] = field(default_factory=list)
    """Room and text, in order."""
    shown: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By key: a repeated one does not show."""
    stored: int = 0
    """How much of what was said is acknowledged."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, room: int, text: str) -> None:
        self.said.append((f"room{room}", text))
        self._tell()

    def goes(self, *, up: bool) -> None:
        self.is_up = up
        self._tell()

    def show(self, key: str, room: str, text: str) -> None:
        self.shown.setdefault(key, (room, text))

    def shown_in(self, room: str) -> list[str]:
        return [text for where, text in self.shown.values() if where == room]

    def said_in(self, room: str) -> list[str]:
        return [text for where, text in self.said if where == room]

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class ScriptedBridge:
    """A bridge to one of them."""

    def __init__(self, context, network: Network) -> None:
        self.name = context.name
        self.capabilities = Capabilities(
            room_for=lambda *_: 200, names=Support.NATIVE, in_flight=4 if context.name == "home" else 1
        )
        self._context = context
        self._network = network
        self._at = int(context.resume or 0)

    async def __aenter__(self):
        self._check()
        return self

    async def __aexit__(self, *_):
        return None

    def _check(self):
        if not self._network.is_up:
            raise LinkDown("the network is away")

    async def receive(self):
        while True:
            changed = self._network.changed
            self._check()
            while self._at < len(self._network.said):
                yield self._message(*self._network.said[self._at])
                self._at += 1
                self._network.stored = max(self._network.stored, self._at)
            await changed.wait()

    def _message(self, room, text):
        return Message(
            native_id=NativeId(f"{self.name}:{self._at}"),
            origin=Address(self.name, room),
            sender=Sender(id=SenderId("someone"), name="someone"),
            content=Text(body=text),
            received_ms=self._context.clock.now_ms(),
            remote_id=RemoteId(str(self._at)),
            resume=ResumePoint(str(self._at + 1)),
        )

    async def send(self, message, to, *, key):
        self._check()
        self._network.show(key, to.conversation, message.content.body)
        return Receipt(remote_id=RemoteId(key))


class Crossing:
    """A gateway between two networks, and the clock all of it goes by."""

    def __init__(self, folder: Path, clock: HurryingClock, *, queue: str) -> None:
        self.folder, self.clock, self.queue = folder, clock, queue
        self.home, self.radio = Network(), Network()
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    def _registry(self) -> Registry:
        def create(context):
            return ScriptedBridge(context, self.home if context.name == "home" else self.radio)

        return Registry({"scripted": lambda: BridgeKind(create=create, check=lambda _: frozenset())})

    async def start(self) -> None:
        routes = "".join(ROUTE.format(n=n) for n in range(ROOMS))
        path = self.folder / "crossband.toml"
        path.write_text(CONFIG.format(folder=self.folder, queue=self.queue) + routes)
        registry = self._registry()
        self._stop = asyncio.Event()
        settings = load(path, {}, registry=registry)
        self._task = asyncio.create_task(service.serve(settings, registry=registry, stop=self._stop))
        while not await self.is_ready():
            await asyncio.sleep(LOOK_EVERY_S)

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._stop.set()
            await task

    @property
    def is_running(self) -> bool:
        """Whether the gateway runs now."""
        return self._task is not None

    async def is_ready(self) -> bool:
        assert self._task
        if self._task.done():
            await self._task
        with suppress(OSError):
            return (await self.get("/readyz")).status == 200
        return False

    async def get(self, path: str):
        return await ask(self.folder / "run" / "control.sock", "GET", path, timeout_s=10)

    async def deliveries(self, to: str) -> dict[str, int]:
        """Return how many deliveries to a bridge are in which state."""
        found = (await self.get("/api/v1/status")).json()["deliveries"].get(to, {})
        return {state: count for state, count in found.items() if count}

    async def settled(self, to: str, count: int) -> dict[str, int]:
        """Wait until so many deliveries are accounted for; return in which state."""
        while True:
            states = await self.deliveries(to)
            waits = sum(states.get(state, 0) for state in ("waiting", "queued", "sending"))
            if sum(states.values()) >= count and not waits:
                return states
            await asyncio.sleep(LOOK_EVERY_S)

    def disk_bytes(self) -> int:
        """Return what is on the disk, without the journal's reserve."""
        files = [path for path in (self.folder / "data").rglob("*") if path.is_file()]
        return sum(path.stat().st_size for path in files if path.suffix != ".reserve")


def resident_bytes() -> int:
    """Return the memory this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@asynccontextmanager
async def crossing(monkeypatch, *, queue: str = "embedded") -> AsyncIterator[Crossing]:
    """A gateway that runs; its clock is the test's."""
    folder = Path(tempfile.mkdtemp(prefix="cb-"))
    clock = HurryingClock()
    monkeypatch.setattr("gateway.service.SystemClock", lambda: clock)
    made = Crossing(folder, clock, queue=queue)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
        shutil.rmtree(folder, ignore_errors=True)
