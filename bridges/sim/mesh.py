# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated mesh in an event loop: the nodes, the air between them, and what tests do with both."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.sim.agenda import Agenda
from bridges.sim.air import Air
from bridges.sim.airtime import PRESETS
from bridges.sim.devices import replay_of
from bridges.sim.identity import FAR_NODES, GATEWAY, Identity, Settings
from bridges.sim.node import Firmware
from bridges.sim.packets import sender_of
from bridges.sim.people import SimNode
from bridges.sim.radio import Radio
from bridges.sim.strangers import Strangers
from bridges.sim.telemetry import SelfReport

_REMEMBERED = 2000

_AFTER_S = 1e-6
"""Woken just as something is due, by the rounding it might not be due yet, and for ever so in a time that stands."""


class SimMesh:
    """Several nodes on one channel. Use as an async context manager; `time_scale` mesh seconds pass per second.

    All waits of air and firmware are mesh seconds. Nodes are looked up by name, short name, id or number:
    ``mesh["Ridge relay"]``. The first node is the gateway's own.
    """

    def __init__(
        self,
        *,
        gateway: Identity = GATEWAY,
        far: Sequence[Identity] = FAR_NODES,
        settings: Settings | None = None,
        time_scale: float = 1.0,
        seed: int | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.time_scale = time_scale
        self.seed = random.randrange(2**32) if seed is None else seed  # noqa: S311 - the same
        self.chance = random.Random(self.seed)  # noqa: S311 - weather, not secrets
        self.agenda = Agenda()
        self.air = Air(self.agenda, PRESETS[self.settings.preset], self.chance)
        self.air.watch = self._remember
        self.knows_time = True
        """Whether the nodes have a clock: if not, what they receive carries the time 0."""
        self._sent: OrderedDict[tuple[int, int], MeshPacket] = OrderedDict()
        self._started = 0.0
        self._epoch = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.nodes: dict[int, SimNode] = {}
        for identity in (gateway, *far):
            self.nodes[identity.number] = SimNode(self._new_radio(identity), self)
        self.gateway = self.nodes[gateway.number]
        self.strangers = Strangers(self.air, self.agenda, self.chance)
        """Other people's traffic: silent until told otherwise."""

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._epoch = time.time()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop = None

    def __getitem__(self, name: str | int) -> SimNode:
        for node in self.nodes.values():
            identity = node.identity
            if name in (identity.long_name, identity.short_name, identity.id, identity.number):
                return node
        raise KeyError(name)

    @property
    def now(self) -> float:
        """Mesh seconds since the start."""
        return (self._loop.time() - self._started) * self.time_scale if self._loop else 0.0

    def unix(self, now: float) -> int:
        """Return what the nodes' clocks show at this mesh time: Unix seconds, or 0 if they have none."""
        return int(self._epoch + now) if self.knows_time else 0

    def pump(self) -> None:
        """Do what is due, and arrange to come back for the rest. Cheap; called after anything that happened."""
        if self._loop is None:
            return
        self.agenda.advance(self.now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.agenda.next_due()
        if due is not None:
            self._timer = self._loop.call_at(self._started + due / self.time_scale + _AFTER_S, self.pump)

    def link(self, one: str | int, other: str | int, *, loss: float = 0.0, both: bool = True) -> None:
        """Lose this share (0..1) of what `other` could hear of `one`, and the other way round; 1: out of range."""
        a, b = self[one].number, self[other].number
        self.air.set_loss(a, b, loss)
        if both:
            self.air.set_loss(b, a, loss)

    def isolate(self, name: str | int) -> None:
        """Take a node out of everybody's range: nobody hears it, it hears nobody."""
        self._link_to_all(name, 1.0)

    def rejoin(self, name: str | int) -> None:
        """Bring a node back into everybody's range."""
        self._link_to_all(name, 0.0)

    def replay(
        self,
        sender: str | int,
        id: int,
        *,
        after_s: float = 0.0,
        to: str | int | None = None,
        via_mqtt: bool = False,
    ) -> None:
        """Have a packet that was once on the air come in again at a node (the gateway), past its memory.

        This is what far echoes do, and with `via_mqtt` those over the internet. KeyError if it is not among the
        last 2000.
        """
        packet = MeshPacket()
        packet.CopyFrom(self._sent[self[sender].number, id])
        packet.via_mqtt = via_mqtt
        self.inject(packet, after_s=after_s, to=to)

    def store_and_forward(
        self, sender: str | int, id: int, *, after_s: float = 0.0, to: str | int | None = None
    ) -> None:
        """Have a Store & Forward node say a packet's text again to a node (the gateway). Otherwise as `replay`."""
        node = self.gateway if to is None else self[to]
        self.inject(replay_of(self._sent[self[sender].number, id], to=node.number), after_s=after_s, to=to)

    def inject(self, packet: MeshPacket, *, after_s: float = 0.0, to: str | int | None = None) -> None:
        """Have any packet come in at a node (the gateway), as it is, past everything that could stop it."""
        copy = MeshPacket()
        copy.CopyFrom(packet)
        firmware = self.firmware(to)
        self.agenda.at(self.now + after_s, lambda now: firmware.delivered(copy, sender_of(copy), now))
        self.pump()

    def occupy(self, share: float) -> None:
        """Have strangers take this share (0..1) of the channel's time from now on."""
        self.strangers.occupy(share, self.now)
        self.pump()

    def firmware(self, name: str | int | None = None) -> Firmware:
        """Return the firmware a client talks to, at the gateway's node unless another is named."""
        return (self.gateway if name is None else self[name]).firmware

    def new_firmware(self, radio: Radio) -> Firmware:
        """Build the phone API of one node; the node does that once."""
        firmware = Firmware(
            radio, self.agenda, self.settings, directory=lambda: self._others(radio.number), clock=self.unix
        )
        SelfReport(firmware, self.agenda).begin(self.now)
        self.pump()
        return firmware

    def call_later(self, delay_s: float, action: Callable[[], None]) -> asyncio.TimerHandle | None:
        """Call back after real seconds, unless the mesh isn't running."""
        return self._loop.call_later(delay_s, action) if self._loop else None

    def _new_radio(self, identity: Identity) -> Radio:
        return Radio(identity, self.air, self.agenda, self.chance)

    def _others(self, number: int) -> list[Identity]:
        return [node.identity for node in self.nodes.values() if node.number != number]

    def _link_to_all(self, name: str | int, loss: float) -> None:
        number = self[name].number
        for other in self.nodes:
            if other != number:
                self.link(number, other, loss=loss)

    def _remember(self, _sender: int, packet: MeshPacket, _now: float) -> None:
        key = (sender_of(packet), packet.id)
        if key in self._sent:
            return
        copy = MeshPacket()
        copy.CopyFrom(packet)
        self._sent[key] = copy
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
