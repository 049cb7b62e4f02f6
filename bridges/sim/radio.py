# SPDX-License-Identifier: GPL-3.0-or-later
"""What every node does with packets: repeat those of others, try its own again, answer, drop copies."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from meshtastic.protobuf.mesh_pb2 import MeshPacket, Routing

from bridges.sim.agenda import Agenda, Entry
from bridges.sim.air import Air
from bridges.sim.airtime import retry_wait_s, slot_s
from bridges.sim.identity import BROADCAST, Identity
from bridges.sim.packets import packet_airtime_s, routing_error, routing_packet, sender_of
from bridges.sim.utilisation import Utilisation

MAX_TRIES = 3
_SEEN = 2000
_HOUR_S = 3600.0
_CONTENTION_SLOTS = 16

NONE = Routing.Error.NONE
MAX_RETRANSMIT = Routing.Error.MAX_RETRANSMIT
PKI_UNKNOWN_PUBKEY = Routing.Error.PKI_UNKNOWN_PUBKEY


@dataclass(slots=True)
class _Pending:
    packet: MeshPacket
    tries: int = 0
    timer: Entry | None = None


class Listener(Protocol):
    """Who wants to know what a radio learns."""

    def delivered(self, packet: MeshPacket, via: int, now: float) -> None:
        """Learn of a packet meant for this node; called once for each."""
        ...

    def settled(self, id: int, error: int, now: float) -> None:
        """Learn that an own `want_ack` packet was repeated by a neighbour (NONE) or nobody (MAX_RETRANSMIT)."""
        ...

    def freed(self, now: float) -> None:
        """Learn that a packet left the transmit queue."""
        ...


class Radio:
    """One node's radio and router, on a shared `Air`. Time comes in with every call."""

    def __init__(self, identity: Identity, air: Air, agenda: Agenda, chance: random.Random) -> None:
        self.identity = identity
        self.number = identity.number
        self._air = air
        self._agenda = agenda
        self._chance = chance
        self._seen: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._pending: dict[int, _Pending] = {}
        self._relays: dict[tuple[int, int], Entry] = {}
        self.is_on = True
        self.repeats = True
        """Whether it relays what it hears."""
        self.strangers: set[int] = set()
        """Nodes it knows of but whose public key it lacks."""
        self.acquaintances: Callable[[], Collection[int]] = tuple
        """The nodes it knows of."""
        self.airtime: deque[tuple[float, float]] = deque()
        """(when, seconds) of its own transmissions within the last hour."""
        self.utilisation = Utilisation()
        """How busy the channel is where it stands."""
        self.listeners: list[Listener] = []
        air.join(self)

    def new_id(self) -> int:
        """Return a random non-zero packet id."""
        return self._chance.randrange(1, 2**32)

    def room(self) -> int:
        """Return how many more packets the transmit queue takes."""
        return self._air.room(self.number)

    @property
    def depth(self) -> int:
        """How many packets the transmit queue holds."""
        return self._air.depth

    def send(self, packet: MeshPacket, now: float) -> bool:
        """Queue an own packet; False if the transmit queue is full and it is gone."""
        if not self._air.enqueue(self.number, packet, now):
            return False
        self._remember((self.number, packet.id))
        if packet.want_ack:
            self._pending[packet.id] = _Pending(packet)
        return True

    def power_cycle(self) -> None:
        """Forget everything a node keeps in RAM."""
        for pending in self._pending.values():
            if pending.timer is not None:
                pending.timer.cancel()
        for relay in self._relays.values():
            relay.cancel()
        self._pending.clear()
        self._relays.clear()
        self._seen.clear()
        self._air.silence(self.number)

    def airtime_within(self, seconds: float, now: float) -> float:
        """Return how many of the last `seconds` (at most an hour) it was sending."""
        self._forget_airtime(now)
        return sum(took for at, took in self.airtime if at > now - seconds)

    def settle(self, id: int, error: int, now: float) -> None:
        """Tell the listeners how an own packet ended."""
        for listener in self.listeners:
            listener.settled(id, error, now)

    def _forget_airtime(self, now: float) -> None:
        while self.airtime and self.airtime[0][0] <= now - _HOUR_S:
            self.airtime.popleft()

    def began(self, packet: MeshPacket, now: float) -> None:
        """Learn that a packet left the queue."""
        for listener in self.listeners:
            listener.freed(now)
        pending = self._pending.get(packet.id)
        if sender_of(packet) == self.number and pending is not None:
            pending.tries += 1

    def sent(self, packet: MeshPacket, airtime_s: float, now: float) -> None:
        """Start waiting for somebody to repeat it."""
        self.airtime.append((now, airtime_s))
        self.utilisation.note(airtime_s, now)
        self._forget_airtime(now)
        pending = self._pending.get(packet.id)
        if sender_of(packet) == self.number and pending is not None:
            wait = retry_wait_s(self._air.preset, airtime_s)
            pending.timer = self._agenda.at(now + wait, lambda when: self._try_again(packet.id, when))

    def hear(self, packet: MeshPacket, *, via: int, now: float) -> None:
        """Take in what a neighbour transmitted."""
        if not self.is_on:
            return
        self.utilisation.note(packet_airtime_s(self._air.preset, packet), now)
        sender = sender_of(packet)
        if sender == self.number:
            self._repeated(packet.id, now)
            return
        key = (sender, packet.id)
        known = key in self._seen
        first_hand = via == sender
        if known and not first_hand:
            self._call_off_relay(key)
            return
        self._remember(key)
        if packet.to == self.number:
            self._take(packet, via, now, is_new=not known)
            return
        if not known and packet.to == BROADCAST:
            self._deliver(packet, via, now)
        self._relay(packet, now)

    def _deliver(self, packet: MeshPacket, via: int, now: float) -> None:
        for listener in self.listeners:
            listener.delivered(packet, via, now)

    def _take(self, packet: MeshPacket, via: int, now: float, *, is_new: bool) -> None:
        error = NONE
        if packet.pki_encrypted and sender_of(packet) in self.strangers:
            error = PKI_UNKNOWN_PUBKEY
        if packet.want_ack:
            self._answer(packet, error, now)
        if not is_new or error != NONE:
            return
        answered = packet.decoded.request_id if routing_error(packet) is not None else 0
        self._stop_trying(answered)
        self._deliver(packet, via, now)

    def _answer(self, packet: MeshPacket, error: int, now: float) -> None:
        answer = routing_packet(
            sender=self.number, to=sender_of(packet), id=self.new_id(), request_id=packet.id, error=error
        )
        self._remember((self.number, answer.id))
        self._air.enqueue(self.number, answer, now)

    def _relay(self, packet: MeshPacket, now: float) -> None:
        if not self.repeats or packet.hop_limit == 0:
            return
        packet.hop_limit -= 1
        packet.relay_node = self.number & 0xFF
        key = (sender_of(packet), packet.id)
        self._call_off_relay(key)
        wait = self._chance.random() * _CONTENTION_SLOTS * slot_s(self._air.preset)
        self._relays[key] = self._agenda.at(now + wait, lambda when: self._put_relay(key, packet, when))

    def _put_relay(self, key: tuple[int, int], packet: MeshPacket, now: float) -> None:
        self._relays.pop(key, None)
        self._air.enqueue(self.number, packet, now)

    def _call_off_relay(self, key: tuple[int, int]) -> None:
        # Managed flooding: who hears another node repeat it keeps quiet.
        relay = self._relays.pop(key, None)
        if relay is not None:
            relay.cancel()
        self._air.withdraw(self.number, *key)

    def _repeated(self, id: int, now: float) -> None:
        if self._stop_trying(id):
            self.settle(id, NONE, now)

    def _try_again(self, id: int, now: float) -> None:
        pending = self._pending.get(id)
        if pending is None:
            return
        if pending.tries >= MAX_TRIES:
            del self._pending[id]
            self.settle(id, MAX_RETRANSMIT, now)
        elif not self._air.enqueue(self.number, pending.packet, now):
            # No room for the repeat: look again when one more packet's time has passed.
            pending.timer = self._agenda.at(now + 1.0, lambda when: self._try_again(id, when))

    def _stop_trying(self, id: int) -> bool:
        pending = self._pending.pop(id, None)
        if pending is None:
            return False
        if pending.timer is not None:
            pending.timer.cancel()
        self._air.withdraw(self.number, self.number, id)
        return True

    def _remember(self, key: tuple[int, int]) -> None:
        self._seen[key] = None
        self._seen.move_to_end(key)
        while len(self._seen) > _SEEN:
            self._seen.popitem(last=False)
