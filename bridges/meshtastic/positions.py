# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions in packets, and how often one node's are passed on. Pure."""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Position, Waypoint
from meshtastic.protobuf.portnums_pb2 import PortNum

from gateway.model import Location

MOST_NODES = 500
"""Whose last position is remembered; past it the one passed on longest ago may be passed on anew."""
MOST_WORDS = 200
"""Characters; the firmware has room for 30 in a name and 100 in a description."""

_DEGREES = 1e-7
_WHOLE_BITS = 32
_METRES_PER_DEGREE = 111_320


class NoPlace(StrEnum):
    """Why a packet says no place: what is counted."""

    UNPARSABLE = "position_unparsable"
    NO_FIX = "position_without_fix"
    OVER = "waypoint_over"
    AGAIN = "waypoint_unchanged"


class Rhythm:
    """Lets one position of each node through in so many seconds."""

    def __init__(self, every_s: float, *, limit: int = MOST_NODES) -> None:
        self._every_s = every_s
        self._limit = limit
        self._passed: OrderedDict[int, float] = OrderedDict()

    def is_due(self, node: int, now: float) -> bool:
        """Tell whether a node's position is passed on now; if so it counts."""
        last = self._passed.get(node)
        if last is not None and now - last < self._every_s:
            return False
        self._passed[node] = now
        self._passed.move_to_end(node)
        while len(self._passed) > self._limit:
            self._passed.popitem(last=False)
        return True


def to_place(data: Data) -> Location | NoPlace:
    """Return the place that a position says, or why it says none."""
    try:
        return _position(Position.FromString(data.payload))
    except DecodeError:
        return NoPlace.UNPARSABLE


def request(*, id: int, own: int, node: int, channel: int, hop_limit: int) -> MeshPacket:
    """Return the packet that asks a node for its position.

    It holds none of ours: an empty one leaves what the node knows of us as it is.
    """
    packet = MeshPacket(to=node, channel=channel, id=id, hop_limit=hop_limit, want_ack=True)
    packet.decoded.portnum = PortNum.POSITION_APP
    packet.decoded.want_response = True
    setattr(packet, "from", own)
    return packet


def accuracy_m(precision_bits: int) -> float | None:
    """Return what a position that was cut to so many bits is exact to, as the apps show it: 13 bits are 2.9 km.

    The cut position is the middle of its square; 0: an old firmware, that didn't say.
    """
    if not 0 < precision_bits < _WHOLE_BITS:
        return None
    return float(2 ** (_WHOLE_BITS - 1 - precision_bits) * _DEGREES * _METRES_PER_DEGREE)


def _position(position: Position) -> Location | NoPlace:
    altitude = position.altitude if position.HasField("altitude") else None
    return place_of(position, altitude_m=altitude, accuracy_m=accuracy_m(position.precision_bits))


def place_of(
    said: Position | Waypoint, *, altitude_m: float | None = None, accuracy_m: float | None = None, words: str = ""
) -> Location | NoPlace:
    """Return the place with these coordinates, or that there are none."""
    if not (said.latitude_i or said.longitude_i):
        return NoPlace.NO_FIX
    try:
        return Location(
            latitude=said.latitude_i * _DEGREES,
            longitude=said.longitude_i * _DEGREES,
            altitude_m=altitude_m,
            accuracy_m=accuracy_m,
            words=words,
        )
    except ValueError:
        return NoPlace.NO_FIX


def on_one_line(words: str) -> str:
    """Return what somebody wrote on one line, without control characters (a bell), and no longer than it can be."""
    printable = "".join(character if character.isprintable() else " " for character in words)
    return " ".join(printable.split())[:MOST_WORDS]
