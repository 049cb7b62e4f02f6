# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio bridge on a simulated mesh, with the mesh's people and faults at hand."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic import kind
from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.meshtastic.connection import SerialPath
from bridges.meshtastic.register import Register
from bridges.sim import PtyPort, Settings, SimMesh, TcpPort
from gateway.model import (
    Address,
    BridgeContext,
    BridgeName,
    Desk,
    Level,
    Message,
    NativeId,
    NoDesk,
    RemoteId,
    Report,
    ResumePoint,
    RoutedConversation,
    Sender,
    SenderId,
    Text,
)
from tests.contract.harness import Shown
from tests.steady_time import SteadyClock

RADIO = BridgeName("radio")
LONG_FAST = Address(RADIO, "LongFast")
MARKET = Address(RADIO, "!a1b2c302")
SCALE = 20.0
"""Mesh and gateway seconds in a real one."""


class ScaledClock(SteadyClock):
    """The test's time, faster: the mesh's own pace."""

    def __init__(self, scale: float = SCALE) -> None:
        super().__init__(time_scale=scale)


@dataclass
class Air:
    """The far side: a mesh of four nodes, and the port the bridge is plugged into."""

    mesh: SimMesh
    port: PtyPort | TcpPort
    connection: str
    counts: Counter[str] = field(default_factory=Counter)
    appeared: list[str] = field(default_factory=list)
    """Conversations that the bridge said are there now."""
    register: Register = field(default_factory=Register)
    """Each test's own: a bridge of an earlier one may not be collected yet."""


@asynccontextmanager
async def air(
    tmp_path: Path,
    *,
    tcp: bool = False,
    scale: float = SCALE,
    settings: Settings | None = None,
    seed: int | None = None,
    **port: Any,
) -> AsyncIterator[Air]:
    async with SimMesh(time_scale=scale, settings=settings, seed=seed) as mesh:
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
    name: BridgeName = RADIO,
    desk: Desk | None = None,
    level: Level = Level.TRANSMIT,
    register: Register | None = None,
    **table: Any,
) -> MeshtasticBridge:
    """Build a bridge as the core would."""
    raw = {"kind": "meshtastic", "connection": network.connection, **table}
    kind.check(raw)
    context = BridgeContext(
        name=name,
        table=raw,
        state_dir=tmp_path,
        clock=ScaledClock(scale),
        random=random.Random(),
        conversations=tuple(RoutedConversation(name=name) for name in routed),
        count=lambda what: network.counts.update([what]),
        level_of=lambda _: level,
        desk=desk or NoDesk(),
        appeared=network.appeared.append,
    )
    found = [SerialPath(str(path)) for path in boards]
    return MeshtasticBridge(context, boards=lambda: list(found), register=register or network.register)


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


class MeshtasticHarness:
    """People at a relay on a ridge, who hear the gateway's node and talk to its channel."""

    place = LONG_FAST
    nowhere = Address(RADIO, "Village")

    def __init__(self, network: Air, folder: Path) -> None:
        self._network = network
        self._folder = folder

    def bridge(self, *, resume: ResumePoint | None = None) -> MeshtasticBridge:
        assert resume is None, "a radio keeps no past"
        return bridge_on(self._network, self._folder)

    async def say(self, body: str, *, reply_to: RemoteId | None = None) -> RemoteId:
        mesh = self._network.mesh
        number = mesh["RDGE"].say(body, reply_id=int(reply_to, 16) if reply_to else 0)
        await mesh.gateway.wait_heard(lambda heard: heard.id == number)
        return RemoteId(f"{number:08x}")

    async def shown(self) -> list[Shown]:
        mesh = self._network.mesh
        ours = (heard for heard in mesh["RDGE"].heard if heard.sender == mesh.gateway.number)
        return [
            Shown(
                id=RemoteId(f"{heard.id:08x}"),
                body=heard.text,
                reply_to=RemoteId(f"{heard.reply_id:08x}") if heard.reply_id else None,
            )
            for heard in ours
            if heard.portnum == PortNum.TEXT_MESSAGE_APP
        ]

    async def cut(self) -> None:
        self._network.port.unplug()

    async def mend(self) -> None:
        self._network.port.plug()

    def mute(self) -> None:
        self._network.port.faults.lose_frame = 1.0

    def confuse(self) -> None:
        self._network.port.faults.corrupt_byte = 1.0

    def unmute(self) -> None:
        self._network.port.faults.lose_frame = self._network.port.faults.corrupt_byte = 0.0

    async def wait_visited(self) -> None:
        await self._network.port.wait_client()


@asynccontextmanager
async def radio(tmp_path: Path, *, tcp: bool = False) -> AsyncIterator[MeshtasticHarness]:
    async with air(tmp_path, tcp=tcp) as network:
        yield MeshtasticHarness(network, tmp_path)
