# SPDX-License-Identifier: GPL-3.0-or-later
"""A node and the people at it: what they say, and what their node has heard."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket

from bridges.sim.identity import BROADCAST, Identity, Settings
from bridges.sim.introductions import Introductions
from bridges.sim.node import Firmware
from bridges.sim.packets import (
    ADMIN,
    PRIORITY_TEXT,
    ROUTING,
    packet_of,
    routing_error,
    sender_of,
    text_data,
    wants_pki,
)
from bridges.sim.radio import Radio
from bridges.sim.whereabouts import Whereabouts

_HEARD = 100_000
_UNSAID = 10_000
_OUTCOMES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A packet with something in it that a node received, once per (sender, id)."""

    seq: int
    """Counts up per node from 1."""
    sender: int
    to: int
    id: int
    channel: int
    portnum: int
    payload: bytes
    reply_id: int
    emoji: bool
    at_s: float
    """Mesh seconds."""

    @property
    def text(self) -> str:
        """The payload as text, as far as it is."""
        return self.payload.decode(errors="replace")

    @property
    def is_direct(self) -> bool:
        """Whether it was sent to this node alone."""
        return self.to != BROADCAST


class World(Protocol):
    """What a node needs of its mesh."""

    @property
    def settings(self) -> Settings:
        """How the radios are set."""
        ...

    @property
    def now(self) -> float:
        """Mesh seconds."""
        ...

    def pump(self) -> None:
        """Do what is due."""
        ...

    def new_firmware(self, radio: Radio) -> Firmware:
        """Build a phone API."""
        ...


class SimNode:
    """One node of a simulated mesh, driven by tests."""

    def __init__(self, radio: Radio, world: World) -> None:
        self.radio = radio
        self.identity: Identity = radio.identity
        self.number = radio.number
        self._world = world
        self._firmware: Firmware | None = None
        self.heard: deque[Heard] = deque(maxlen=_HEARD)
        """What came in, oldest first; the last 100,000."""
        self.outcomes: OrderedDict[int, list[tuple[int, int]]] = OrderedDict()
        """Per own packet id what was learnt of it: (who said it, routing error)."""
        self._count = 0
        self._unsaid: deque[MeshPacket] = deque()
        self._waiting: list[tuple[Callable[[Heard], bool], asyncio.Future[Heard]]] = []
        self.on_heard: list[Callable[[SimNode, Heard], None]] = []
        self.place = Whereabouts(radio, self.send)
        self.introductions = Introductions(radio, self.send)
        radio.listeners.append(self)

    @property
    def firmware(self) -> Firmware:
        """The phone API of this node, made when first asked for."""
        if self._firmware is None:
            self._firmware = self._world.new_firmware(self.radio)
        return self._firmware

    def say(
        self,
        text: str | bytes,
        *,
        to: int = BROADCAST,
        channel: int = 0,
        reply_id: int = 0,
        emoji: bool = False,
        want_ack: bool = True,
        id: int = 0,
    ) -> int:
        """Send a text, reply or tapback into the mesh; return its packet id.

        It waits for room in the node's transmit queue; OverflowError if 10,000 are waiting.
        Bytes go out as they are.
        """
        data = text_data(text, reply_id=reply_id, emoji=emoji)
        return self.send(data, to=to, channel=channel, want_ack=want_ack, id=id)

    def send(self, data: Data, *, to: int = BROADCAST, channel: int = 0, want_ack: bool = False, id: int = 0) -> int:
        """Send any data into the mesh; return its packet id. Otherwise as `say`."""
        if len(self._unsaid) >= _UNSAID:
            msg = f"{self.identity.long_name} has {_UNSAID} packets waiting"
            raise OverflowError(msg)
        packet = packet_of(
            data,
            sender=self.number,
            to=to,
            id=id or self.radio.new_id(),
            channel=channel,
            hop_limit=self._world.settings.hop_limit,
            want_ack=want_ack,
        )
        packet.priority = PRIORITY_TEXT
        packet.pki_encrypted = wants_pki(packet, broadcast=BROADCAST)
        self._unsaid.append(packet)
        self._say_more(self._world.now)
        self._world.pump()
        return int(packet.id)

    def introduce(self) -> int:
        """Broadcast the node's name, as nodes do now and then."""
        return self.introductions.tell(self._world.now)

    async def wait_heard(self, predicate: Callable[[Heard], bool], timeout_s: float = 10.0) -> Heard:
        """Return the first packet, heard already or within `timeout_s` real seconds, that fits; else TimeoutError."""
        for heard in self.heard:
            if predicate(heard):
                return heard
        future: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        entry = (predicate, future)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        finally:
            self._waiting.remove(entry)

    async def wait_text(self, text: str, timeout_s: float = 10.0) -> Heard:
        """Return the first packet with exactly this text; otherwise as `wait_heard`."""
        return await self.wait_heard(lambda heard: heard.text == text, timeout_s)

    def delivered(self, packet: MeshPacket, via: int, now: float) -> None:  # noqa: ARG002 - part of the interface
        """Write down what the radio received."""
        data = packet.decoded
        error = routing_error(packet)
        if error is not None:
            self._note_outcome(data.request_id, sender_of(packet), error)
        if data.portnum in (ROUTING, ADMIN) or not packet.HasField("decoded"):
            return
        self._count += 1
        heard = Heard(
            seq=self._count,
            sender=sender_of(packet),
            to=packet.to,
            id=packet.id,
            channel=packet.channel,
            portnum=data.portnum,
            payload=data.payload,
            reply_id=data.reply_id,
            emoji=bool(data.emoji),
            at_s=now,
        )
        self.heard.append(heard)
        self.place.hear(packet, now)
        self.introductions.hear(packet, now)
        self._tell(heard)

    def settled(self, id: int, error: int, now: float) -> None:  # noqa: ARG002 - part of the interface
        """Write down how an own packet ended, as far as this node can tell."""
        self._note_outcome(id, self.number, error)

    def freed(self, now: float) -> None:
        """Say what waited for room."""
        self._say_more(now)

    def _say_more(self, now: float) -> None:
        while self._unsaid and self.radio.room():
            self.radio.send(self._unsaid.popleft(), now)

    def _note_outcome(self, id: int, by: int, error: int) -> None:
        self.outcomes.setdefault(id, []).append((by, error))
        while len(self.outcomes) > _OUTCOMES:
            self.outcomes.popitem(last=False)

    def _tell(self, heard: Heard) -> None:
        for predicate, future in self._waiting:
            if not future.done() and predicate(heard):
                future.set_result(heard)
        for told in self.on_heard:
            told(self, heard)
