# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio bridge on a simulated mesh, with the mesh's people and faults at hand."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bridges.meshtastic import kind
from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.meshtastic.config import SerialPath
from bridges.sim import PtyPort, Settings, SimMesh, TcpPort
from gateway.model import (
    Address,
    BridgeContext,
    BridgeName,
    LinkDown,
    Message,
    NativeId,
    RemoteId,
    Report,
    RoutedConversation,
    Sender,
    SenderId,
    Text,
)

RADIO = BridgeName("radio")
LONG_FAST = Address(RADIO, "LongFast")
MARKET = Address(RADIO, "!a1b2c302")
SCALE = 20.0
"""Mesh and gateway seconds in a real one."""


class ScaledClock:
    """Real time, faster: the mesh's own pace."""

    def __init__(self, scale: float = SCALE) -> None:
        self._scale = scale
        self._began = time.monotonic()
        self._wall_ms = int(time.time() * 1000)

    def now_ms(self) -> int:
        return self._wall_ms + int(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return (time.monotonic() - self._began) * self._scale

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._scale)


@dataclass
class Air:
    """The far side: a mesh of four nodes, and the port the bridge is plugged into."""

    mesh: SimMesh
    port: PtyPort | TcpPort
    connection: str
    counts: Counter[str] = field(default_factory=Counter)


@asynccontextmanager
async def air(
    tmp_path: Path, *, tcp: bool = False, scale: float = SCALE, settings: Settings | None = None, **port: Any
) -> AsyncIterator[Air]:
    async with SimMesh(time_scale=scale, settings=settings) as mesh:
        if tcp:
            async with TcpPort(mesh) as open_port:
                yield Air(mesh, open_port, f"tcp:127.0.0.1:{open_port.port}")
        else:
            async with PtyPort(mesh, tmp_path / "radio", **port) as open_pty:
                yield Air(mesh, open_pty, f"serial:{tmp_path / 'radio'}")


def bridge_on(
    network: Air,
    tmp_path: Path,
    *,
    scale: float = SCALE,
    routed: tuple[str, ...] = (),
    boards: Sequence[Path] = (),
    **table: Any,
) -> MeshtasticBridge:
    """Build a bridge as the core would."""
    raw = {"kind": "meshtastic", "connection": network.connection, **table}
    kind.check(raw)
    context = BridgeContext(
        name=RADIO,
        table=raw,
        state_dir=tmp_path,
        clock=ScaledClock(scale),
        random=random.Random(),
        conversations=tuple(RoutedConversation(name=name) for name in routed),
        count=lambda what: network.counts.update([what]),
    )
    found = [SerialPath(str(path)) for path in boards]
    bridge = MeshtasticBridge(context, boards=lambda: list(found)) if found else kind.create(context)
    assert isinstance(bridge, MeshtasticBridge)
    return bridge


def said(body: str, *, number: int = 1, reply_to: RemoteId | None = None, content: Any = None) -> Message:
    """Return a message as the core hands it to a bridge."""
    return Message(
        native_id=NativeId(f"mx:$event{number}"),
        origin=Address(BridgeName("home"), "#town:example.org"),
        sender=Sender(id=SenderId("@ali:example.org"), name="Ali"),
        content=content or Text(body=body),
        received_ms=0,
        reply_to=reply_to,
    )


async def take(bridge: MeshtasticBridge, count: int, *, timeout_s: float = 15.0) -> list[Message | Report]:
    """Receive this many and close: all but the last are acknowledged."""
    items: list[Message | Report] = []
    async with asyncio.timeout(timeout_s), aclosing(bridge.receive()) as source:
        async for item in source:
            items.append(item)
            if len(items) == count:
                break
    return items


class Reader:
    """A task that takes all a bridge yields, as the core's supervisor does."""

    def __init__(self, bridge: MeshtasticBridge) -> None:
        self.items: list[Message | Report] = []
        self.failure: LinkDown | None = None
        self._bridge = bridge
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async with aclosing(self._bridge.receive()) as source:
                async for item in source:
                    self.items.append(item)
                    self._news.set()
        except LinkDown as error:
            self.failure = error
            self._news.set()

    @property
    def messages(self) -> list[Message]:
        return [item for item in self.items if isinstance(item, Message)]

    @property
    def reports(self) -> list[Report]:
        return [item for item in self.items if isinstance(item, Report)]

    @property
    def bodies(self) -> list[str]:
        return [item.content.body for item in self.messages if isinstance(item.content, Text)]

    async def until(self, holds: Any, timeout_s: float = 15.0) -> None:
        """Wait until something holds of what was read."""
        async with asyncio.timeout(timeout_s):
            while not holds(self):
                self._news.clear()
                await self._news.wait()
