# SPDX-License-Identifier: GPL-3.0-or-later
"""Waypoints: places that people mark on the map for all, for a while, and take off again. Pure."""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import MeshPacket, Waypoint

from bridges.meshtastic.convert import remote_id, sender_of
from bridges.meshtastic.positions import NoPlace, on_one_line, place_of
from gateway.model import Location, Redaction, RemoteId

MOST = 200
"""Remembered; one that is forgotten, as at a restart, can't be taken back, and is said again if it comes again."""
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_FOR_EVER_S = 365 * _DAY_S


@dataclass(frozen=True, slots=True)
class _Put:
    by: int
    packet: RemoteId
    waypoint: bytes
    """As it came, but for its end, which apps move when they send it again."""
    locked_to: int


class Waypoints:
    """Remembers which packet put which waypoint on a channel."""

    def __init__(self, limit: int = MOST) -> None:
        self._limit = limit
        self._put: OrderedDict[tuple[int, int], _Put] = OrderedDict()

    def take(self, packet: MeshPacket, now_s: float) -> Location | Redaction | NoPlace:
        """Return the place that is marked, or that what marked it is taken back, or why it is neither.

        `now_s`: Unix time, by which it may be over.
        """
        try:
            waypoint = Waypoint.FromString(packet.decoded.payload)
        except DecodeError:
            return NoPlace.UNPARSABLE
        key, sender = (waypoint.id, packet.channel), sender_of(packet)
        known = self._put.get(key) if waypoint.id else None
        if 0 < waypoint.expire <= now_s:
            # One that is deleted is sent again with a time that is over.
            return self._taken_back(key, known, sender)
        place = place_of(waypoint, words=_words(waypoint, now_s))
        if isinstance(place, NoPlace):
            return place
        put = _Put(sender, remote_id(packet.id), _unending(waypoint), waypoint.locked_to)
        if known is not None and known.waypoint == put.waypoint:
            return NoPlace.AGAIN
        self._keep(key, put)
        return place

    def _taken_back(self, key: tuple[int, int], known: _Put | None, sender: int) -> Redaction | NoPlace:
        if known is None or sender not in {known.by, known.locked_to or sender}:
            return NoPlace.OVER
        del self._put[key]
        return Redaction(target=known.packet)

    def _keep(self, key: tuple[int, int], put: _Put) -> None:
        self._put[key] = put
        self._put.move_to_end(key)
        while len(self._put) > self._limit:
            self._put.popitem(last=False)


def _unending(waypoint: Waypoint) -> bytes:
    copy = Waypoint()
    copy.CopyFrom(waypoint)
    copy.expire = 0
    return bytes(copy.SerializeToString(deterministic=True))


def _words(waypoint: Waypoint, now_s: float) -> str:
    """Return what people see of it: name, description, icon, for how long. The name is first: it may be a call."""
    words = ": ".join(filter(None, (on_one_line(waypoint.name), on_one_line(waypoint.description)))) or "waypoint"
    return " ".join(filter(None, (words, _icon(waypoint.icon), _left(waypoint.expire - now_s))))


def _icon(number: int) -> str:
    """Return the emoji with this code point; nothing for what is no character to print."""
    character = chr(number) if 0 < number <= sys.maxunicode else ""
    return character if character.isprintable() else ""


def _left(seconds: float) -> str:
    if not 0 < seconds < _FOR_EVER_S:
        return ""
    for unit_s, name, most in ((_DAY_S, "days", 2 * _DAY_S), (_HOUR_S, "h", 2 * _HOUR_S), (_MINUTE_S, "min", 0)):
        if seconds >= most:
            return f"(for {max(round(seconds / unit_s), 1)} {name})"
    return ""
