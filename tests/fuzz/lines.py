# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole radio bridge on a line that has no kernel in it, and one on a LAN that has none: a million frames in minutes.

The far ends are the simulator's: its framing, its greeting, its encryption.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from unittest import mock

import structlog
from meshtastic.protobuf.mesh_pb2 import FromRadio, MeshPacket

from bridges.meshtastic import kind, session
from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.meshtastic.register import Register
from bridges.sim.framing import frame
from bridges.sim.identity import BROADCAST, FAR_NODES
from bridges.sim.lan_peer import LanPeer
from bridges.sim.packets import packet_of, text_data
from gateway.model import BridgeContext, BridgeName, Level, Message, NoDesk, Text
from tests.radio_line import RadioLine
from tests.virtual_time import VirtualClock

RIDGE = FAR_NODES[0]
QUIET_S = 1.0
"""After so long a pause a line is taken to be quiet."""


class Failures:
    """Every line of the log that says that something broke."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, _logger: object, level: str, event: dict[str, object]) -> dict[str, object]:
        if level in ("error", "exception", "critical"):
            self.lines.append(f"{event} {traceback.format_exc() if event.get('exc_info') else ''}")
        raise structlog.DropEvent


class LanLine:
    """What stands for the multicast sockets of our own node."""

    def __init__(self, _names, on_datagram: Callable[[bytes], None], _count) -> None:
        self.failure = None
        self.missing: dict[str, str] = {}
        self.sent = 0
        self._is_reading = False
        self._unread: deque[bytes] = deque()
        self._on_datagram = on_datagram

    def say(self, datagram: bytes) -> None:
        self._unread.append(datagram)
        self._pass_on()

    def send(self, _datagram: bytes) -> None:
        self.sent += 1

    def look_again(self) -> None:
        pass

    def resume(self) -> None:
        self._is_reading = True
        self._pass_on()

    def pause(self) -> None:
        self._is_reading = False

    def close(self) -> None:
        self._is_reading = False

    def _pass_on(self) -> None:
        while self._is_reading and self._unread:
            self._on_datagram(self._unread.popleft())


class Ears:
    """What the bridge made of it: the packet ids that got as far as its session, and the texts that came out."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures = Failures()
        self.arrived: set[int] = set()
        self.texts: set[str] = set()
        self.messages = 0

    def forget(self) -> None:
        self.arrived.clear()
        self.texts.clear()

    async def listen(self, bridge: MeshtasticBridge) -> None:
        async with aclosing(bridge.receive()) as source:
            async for item in source:
                if isinstance(item, Message):
                    self.messages += 1
                    if isinstance(item.content, Text):
                        self.texts.add(item.content.body)


def _bridge(folder: Path, connection: str, ears: Ears, seed: int) -> MeshtasticBridge:
    # All that reads packets or answers them is on.
    table = {
        "kind": "meshtastic",
        "connection": connection,
        "answers": ["ping", "nodes", "gw"],
        "positions": "on",
        "direct": "home",
        "answer_direct": True,
    }
    kind.check(table)
    context = BridgeContext(
        name=BridgeName("radio"),
        table=table,
        state_dir=folder,
        clock=VirtualClock(),
        random=random.Random(seed),
        conversations=(),
        count=lambda what: ears.counts.update([what]),
        level_of=lambda _: Level.TRANSMIT,
        desk=NoDesk(),
        appeared=lambda _: None,
    )
    return MeshtasticBridge(context, boards=list, register=Register())


@asynccontextmanager
async def _listening(folder: Path, connection: str, seed: int) -> AsyncIterator[tuple[MeshtasticBridge, Ears]]:
    ears = Ears()
    take = session.Session.take

    def noted(self, said: FromRadio, now: float):
        if said.HasField("packet"):
            ears.arrived.add(said.packet.id)
        return take(self, said, now)

    structlog.configure(processors=[ears.failures])
    try:
        with mock.patch.object(session.Session, "take", noted):
            async with _bridge(folder, connection, ears, seed) as bridge:
                listening = asyncio.create_task(ears.listen(bridge))
                yield bridge, ears
                assert not listening.done(), "the bridge lost its line"
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    finally:
        structlog.reset_defaults()


@asynccontextmanager
async def radio(folder: Path, seed: int) -> AsyncIterator[tuple[RadioLine, Ears, MeshtasticBridge]]:
    """A bridge that has greeted its radio."""
    line = RadioLine()
    with mock.patch("bridges.meshtastic.finding.open_serial", return_value=line):
        async with _listening(folder, "serial:/dev/radio", seed) as (bridge, ears):
            yield line, ears, bridge


@asynccontextmanager
async def lan(folder: Path, seed: int) -> AsyncIterator[tuple[LanLine, Ears, MeshtasticBridge]]:
    """A bridge with a node of its own."""
    lines: list[LanLine] = []

    def opened(*arguments) -> LanLine:
        lines.append(LanLine(*arguments))
        return lines[-1]

    with mock.patch("bridges.meshtastic.node.port.Multicast", opened):
        async with _listening(folder, "udp:lo", seed) as (bridge, ears):
            yield lines[-1], ears, bridge


def marker(number: int) -> tuple[bytes, int, str]:
    """Return a good frame, its packet's id and its words."""
    packet_id, words = 0x4000_0000 + number, f"good frame {number}"
    packet = packet_of(text_data(words), sender=RIDGE.number, to=BROADCAST, id=packet_id)
    return frame(FromRadio(id=number, packet=packet).SerializeToString()), packet_id, words


class Sayer:
    """A node on the LAN whose good datagrams are asked for one by one, and which encrypts any other as it is asked."""

    def __init__(self, seed: int) -> None:
        self._put: list[bytes] = []
        self._peer = LanPeer(RIDGE.long_name, RIDGE.number, put=self._put.append, seed=seed + 1)

    def introduction(self) -> bytes:
        self._peer.introduce()
        return self._put.pop()

    def marker(self, number: int) -> tuple[bytes, int, str]:
        packet_id, words = 0x4000_0000 + number, f"good datagram {number}"
        self._peer.send(text_data(words), id=packet_id)
        return self._put.pop(), packet_id, words

    def closed(self, packet: MeshPacket, content: bytes) -> bytes:
        """Return this packet's datagram with any content, valid or not, under the channel's key."""
        closed = MeshPacket()
        closed.CopyFrom(packet)
        closed.channel = self._peer.channel.hash
        closed.encrypted = self._peer.channel.apply(getattr(packet, "from"), packet.id, content)
        return closed.SerializeToString()
