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
_MOST_LIKELY_BITS = 23
"""Of positions that don't say to how many bits they were cut: more than this many may be by chance."""


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
        return read_position(Position.FromString(data.payload))
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


def read_position(position: Position) -> Location | NoPlace:
    """Return the place that a position says, as exactly as it says it."""
    altitude = position.altitude if position.HasField("altitude") else None
    bits = position.precision_bits or cut_to(position.latitude_i, position.longitude_i)
    return place_of(position, altitude_m=altitude, accuracy_m=accuracy_m(bits))


def cut_to(latitude_i: int, longitude_i: int) -> int:
    """Return to how many bits a position was cut that doesn't say; 0: it doesn't look cut.

    The firmware sets the first bit it cuts off and clears the rest, in both: by chance that is one in 190,000.
    """
    lowest = latitude_i & -latitude_i
    bits = _WHOLE_BITS - lowest.bit_length()
    return bits if lowest == longitude_i & -longitude_i and 0 < bits <= _MOST_LIKELY_BITS else 0


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
