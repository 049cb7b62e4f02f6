# SPDX-License-Identifier: GPL-3.0-or-later
"""The one channel all simulated radios share: who is on the air, for how long, and who hears it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.sim.agenda import Agenda
from bridges.sim.airtime import Preset
from bridges.sim.packets import packet_airtime_s


class Station(Protocol):
    """A radio, as the air sees it."""

    @property
    def number(self) -> int:
        """Its node number."""
        ...

    def hear(self, packet: MeshPacket, *, via: int, now: float) -> None:
        """Receive what `via` transmitted; the packet is the station's own copy."""
        ...

    def began(self, packet: MeshPacket, now: float) -> None:
        """Learn that this own packet left the transmit queue."""
        ...

    def sent(self, packet: MeshPacket, airtime_s: float, now: float) -> None:
        """Learn that this own packet is off the air."""
        ...


@dataclass(slots=True)
class _Queue:
    station: Station
    packets: deque[MeshPacket] = field(default_factory=deque)
    last_sent: float = -1.0


class Air:
    """A channel for one packet at a time; stations take turns, acknowledgements first.

    Queues are bounded by `depth`, per station. `watch` is called with (sender's number, packet, now)
    for everything that goes on the air.
    """

    def __init__(self, agenda: Agenda, preset: Preset, chance: random.Random, *, depth: int = 16) -> None:
        self._agenda = agenda
        self.preset = preset
        self._chance = chance
        self.depth = depth
        self._queues: dict[int, _Queue] = {}
        self._loss: dict[tuple[int, int], float] = {}
        self._busy = False
        self.airtime_used_s = 0.0
        self.transmissions = 0
        self.watch: Callable[[int, MeshPacket, float], None] | None = None

    def join(self, station: Station) -> None:
        """Put a station on the air, in range of all others."""
        self._queues[station.number] = _Queue(station)

    def set_loss(self, sender: int, receiver: int, loss: float) -> None:
        """Lose this share (0..1) of what `receiver` could hear of `sender`; 1: out of range."""
        self._loss[sender, receiver] = loss

    def room(self, number: int) -> int:
        """Return how many more packets this station's transmit queue takes."""
        return max(self.depth - len(self._queues[number].packets), 0)

    def enqueue(self, number: int, packet: MeshPacket, now: float) -> bool:
        """Queue for transmission; False if there is no room."""
        if not self.room(number):
            return False
        self._queues[number].packets.append(packet)
        # Not at once: the sender first hears that it was queued, then that it has begun.
        self._agenda.at(now, self._next)
        return True

    def withdraw(self, number: int, sender: int, id: int) -> None:
        """Take a packet that hasn't begun back out of the queue."""
        queue = self._queues[number]
        kept = [p for p in queue.packets if (int(getattr(p, "from")), p.id) != (sender, id)]
        queue.packets = deque(kept)

    def silence(self, number: int) -> None:
        """Drop all this station has queued: it lost its memory."""
        self._queues[number].packets.clear()

    def _next(self, now: float) -> None:
        waiting = [queue for queue in self._queues.values() if queue.packets]
        if self._busy or not waiting:
            return
        # Acknowledgements overtake; among equals the one who was silent longest begins.
        queue = max(waiting, key=lambda q: (q.packets[0].priority, -q.last_sent))
        packet = queue.packets.popleft()
        queue.last_sent = now
        self._busy = True
        took = packet_airtime_s(self.preset, packet)
        self.airtime_used_s += took
        self.transmissions += 1
        queue.station.began(packet, now)
        if self.watch is not None:
            self.watch(queue.station.number, packet, now)
        self._agenda.at(now + took, lambda end: self._finish(queue, packet, took, end))

    def _finish(self, queue: _Queue, packet: MeshPacket, took: float, now: float) -> None:
        self._busy = False
        sender = queue.station.number
        queue.station.sent(packet, took, now)
        for other in self._queues.values():
            if other is queue or self._is_lost(sender, other.station.number):
                continue
            copy = MeshPacket()
            copy.CopyFrom(packet)
            other.station.hear(copy, via=sender, now=now)
        self._agenda.at(now, self._next)

    def _is_lost(self, sender: int, receiver: int) -> bool:
        loss = self._loss.get((sender, receiver), 0.0)
        return loss > 0 and self._chance.random() < loss
