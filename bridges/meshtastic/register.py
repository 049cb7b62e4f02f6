# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bridge of this process has, tries or wants which radio, so that none takes what is another's.

Bridges are built apart and know nothing of each other; the one thing that they share is the box they run on.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.meshtastic.places import Channel, find, node_id
from gateway.model import BridgeName, NativeId, NotThere

PROVEN_S = 120.0
"""How long it is believed which node is at a device that nobody has open: a board may be set up anew meanwhile."""
SILENT_S = 8.0
"""How long a device that didn't speak like a radio is left alone: it may have been booting."""
MOST_PROOFS = 64
MOST_SAID = 256
MOST_STRAYS = 64
"""Packets kept of one node: twice what a board buffers."""
MOST_STRAYED = 8
SILENT = 0
"""The number of a device that doesn't answer as a radio."""

Device = tuple[str, int, int, int]
"""One plugging-in of a device: a port that is unplugged and plugged in again is another, whatever its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    number: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Something that one of our radios put on a channel."""

    seat: Seat
    packet: NativeId
    """What everybody on the mesh calls it."""
    at: float
    """When; infinite while it is being handed to the radio."""


class Seat:
    """One bridge's place in the register; it ends with the bridge."""

    def __init__(self, register: Register, name: BridgeName, *, node: int | None, path: str) -> None:
        self.register = register
        self.name = name
        self.node = node
        """The node it is for; None: whichever is there."""
        self.path = path
        """The device it is configured for; empty: none."""
        self.held = ""
        """What it has open, or tries; empty: nothing."""
        self.is_connected = False
        self.number = 0
        """Its radio's number, as last told; 0: none was."""
        self.modem = ""
        """How its radio is set, in words that are the same for radios which can hear each other."""
        self.channels: Mapping[int, Channel] = {}

    def take(self, path: str) -> None:
        """Note that this device is being opened."""
        self.held = os.path.realpath(path) if path.startswith("/") else path

    def release(self) -> None:
        """Note that it is closed."""
        self.held, self.is_connected = "", False

    def learn(self, number: int, modem: str, channels: Mapping[int, Channel]) -> None:
        """Note who our radio is and how it is set: it was greeted."""
        self.is_connected = True
        self.number, self.modem, self.channels = number, modem, channels

    def holder(self, path: str) -> Seat | None:
        """Return another bridge that has this device open, or tries it."""
        device = os.path.realpath(path) if path.startswith("/") else path
        return next((seat for seat in self.others() if seat.held == device), None)

    def why_not(self, path: str, now: float) -> str:
        """Return why a device isn't to be tried in a search; empty if it may be."""
        if holder := self.holder(path):
            return f"is in use by the bridge {holder.name}"
        device = os.path.realpath(path)
        if owner := next((seat for seat in self.others() if seat.path and os.path.realpath(seat.path) == device), None):
            return f"is for the bridge {owner.name}"
        number = self.register.proven(path, now)
        if number == SILENT:
            return "no radio answers"
        return "" if number is None else self.objection(number)

    def objection(self, number: int) -> str:
        """Return why the node that answers isn't for this bridge; empty if it is."""
        if self.node is not None and number != self.node:
            return f"this is {node_id(number)}, wanted {node_id(self.node)}"
        for seat in self.others():
            if seat.is_connected and seat.number == number:
                return f"this is {node_id(number)}, which the bridge {seat.name} has already"
            if self.node is None and seat.node == number:
                return f"this is {node_id(number)}, which the bridge {seat.name} wants"
        return ""

    def conversation(self, conversation: str) -> str:
        """Return the name of the channel that a conversation is on its radio; empty if none."""
        try:
            place = find(conversation, self.channels)
        except NotThere:
            return ""
        channel = self.channels.get(place.channel)
        return "" if place.is_direct or channel is None else channel.name

    def others(self) -> list[Seat]:
        """Return the other bridges' seats."""
        return self.register.seats_beside(self)


class Register:
    """The seats of all radio bridges, and what was learnt of the devices."""

    def __init__(self) -> None:
        self._seats: WeakSet[Seat] = WeakSet()
        self._proofs: OrderedDict[Device, _Proof] = OrderedDict()
        self._strays: OrderedDict[int, list[MeshPacket]] = OrderedDict()
        self._answered: OrderedDict[NativeId, BridgeName] = OrderedDict()
        self._spoken: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._said: OrderedDict[tuple[NativeId, str, object], Said] = OrderedDict()

    def join(self, name: BridgeName, *, node: int | None = None, path: str = "") -> Seat:
        """Give a bridge its seat, for as long as it keeps it."""
        seat = Seat(self, name, node=node, path=path)
        self._seats.add(seat)
        return seat

    def seats_beside(self, seat: Seat) -> list[Seat]:
        """Return all but this one, in an order that stays."""
        return sorted((each for each in self._seats if each is not seat), key=lambda each: each.name)

    def keep(self, number: int, strays: Sequence[MeshPacket]) -> None:
        """Keep what a node said to a bridge that isn't for it, until the one comes that is; the oldest goes first."""
        if strays:
            kept = [*self._strays.pop(number, ()), *strays]
            self._strays[number] = kept[-MOST_STRAYS:]
            while len(self._strays) > MOST_STRAYED:
                self._strays.popitem(last=False)

    def claim(self, number: int) -> Sequence[MeshPacket]:
        """Return what was kept of this node, once."""
        return self._strays.pop(number, ())

    def prove(self, path: str, number: int, now: float) -> None:
        """Note which node answered at a device; `SILENT`: none."""
        device = _device(path)
        if device is None:
            return
        self._proofs[device] = _Proof(number=number, at=now)
        self._proofs.move_to_end(device)
        while len(self._proofs) > MOST_PROOFS:
            self._proofs.popitem(last=False)

    def proven(self, path: str, now: float) -> int | None:
        """Return which node is at a device, as far as that was seen of late; None: nothing was."""
        device = _device(path)
        proof = None if device is None else self._proofs.get(device)
        if proof is None or now - proof.at > (PROVEN_S if proof.number else SILENT_S):
            return None
        return proof.number

    def say(self, native_id: NativeId, channel: str, content: object, said: Said) -> None:
        """Note that a bridge puts this on the air."""
        key = (native_id, channel, content)
        self._said[key] = said
        self._said.move_to_end(key)
        while len(self._said) > MOST_SAID:
            self._said.popitem(last=False)

    def speak(self, seat: Seat, asked: NativeId, id: int) -> bool:
        """Note that a bridge says a packet of its own in answer to this; False if another bridge has answered it."""
        first = self._answered.setdefault(asked, seat.name)
        self._spoken[seat.number, id] = None
        for kept in (self._answered, self._spoken):
            while len(kept) > MOST_SAID:
                kept.popitem(last=False)
        return first == seat.name

    def is_ours(self, number: int, id: int) -> bool:
        """Tell whether this packet is something that a bridge here said of its own: no news to the others."""
        return (number, id) in self._spoken

    def said(self, native_id: NativeId, channel: str, content: object) -> Said | None:
        """Return who put this on the air last, and when."""
        return self._said.get((native_id, channel, content))


SHARED = Register()
"""This process's."""


def _device(path: str) -> Device | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return (os.path.realpath(path), found.st_rdev, found.st_ino, found.st_ctime_ns)
