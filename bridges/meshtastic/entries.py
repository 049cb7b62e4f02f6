# SPDX-License-Identifier: GPL-3.0-or-later
"""One entry of the node directory, and the form in which it is kept. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridges.meshtastic.places import node_id
from bridges.meshtastic.timeline import Instant, Timeline
from gateway.model import Location, Node, SenderId, plain_name

MOST_FORMER_NAMES = 8
"""Of one node, long and short ones together; past it the oldest is forgotten."""
KEY_BYTES = 32
_MOST_LABEL = 40
_MOST_NUMBER = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of a node."""

    number: int
    name: str = ""
    """Its long name; empty while that isn't known."""
    short_name: str = ""
    former_names: tuple[str, ...] = ()
    hardware: str = ""
    role: str = ""
    heard: Instant | None = None
    snr_db: float | None = None
    rssi_dbm: int | None = None
    hops: int | None = None
    battery_percent: int | None = None
    via_mqtt: bool | None = None
    public_key: bytes = b""
    channel: int = 0
    """The one it was last heard on."""
    is_favourite: bool = False
    """Its radio's owner said so in the app."""
    spoken: Instant | None = None
    """When somebody's words last went to it alone."""
    place: Location | None = None
    placed: Instant | None = None
    is_place_private: bool = False
    """It last said where it is to one node, not to all: what our node's database has is not for others."""

    def to_node(self, timeline: Timeline) -> Node:
        """Return it as the rest of the gateway sees it."""
        return Node(
            id=SenderId(node_id(self.number)),
            name=self.name or node_id(self.number),
            short_name=self.short_name,
            former_names=self.former_names,
            hardware=self.hardware,
            role=self.role,
            last_heard_ms=None if self.heard is None else timeline.wall_ms(self.heard),
            snr_db=self.snr_db,
            rssi_dbm=self.rssi_dbm,
            hops=self.hops,
            battery_percent=self.battery_percent,
            via_mqtt=self.via_mqtt,
            has_key=bool(self.public_key),
            place=self.place,
            placed_ms=None if self.placed is None else timeline.wall_ms(self.placed),
        )


def dumped(entry: Entry, timeline: Timeline) -> str:
    """Return what is kept of an entry: what it says of itself and how it was heard, nothing that anybody said."""
    place = entry.place
    fields = {
        "name": entry.name,
        "short": entry.short_name,
        "former": list(entry.former_names),
        "hardware": entry.hardware,
        "role": entry.role,
        "heard_ms": _kept(entry.heard, timeline),
        "snr_db": entry.snr_db,
        "rssi_dbm": entry.rssi_dbm,
        "hops": entry.hops,
        "battery": entry.battery_percent,
        "mqtt": entry.via_mqtt,
        "key": entry.public_key.hex(),
        "channel": entry.channel,
        "favourite": entry.is_favourite,
        "spoken_ms": _kept(entry.spoken, timeline),
        "place": place and [place.latitude, place.longitude, place.altitude_m, place.accuracy_m],
        "placed_ms": _kept(entry.placed, timeline),
        "private": entry.is_place_private,
    }
    return json.dumps({key: value for key, value in fields.items() if value or value == 0}, ensure_ascii=False)


def loaded(number: int, kept: str, timeline: Timeline) -> Entry | None:
    """Read what `dumped` wrote; None if it can't be that. What is odd in it counts as not known."""
    try:
        fields = json.loads(kept)
    except ValueError:
        return None
    if not isinstance(fields, dict) or not 0 < number < 2**32:
        return None
    former = fields.get("former")
    names = (_name(one) for one in former) if isinstance(former, list) else ()
    return Entry(
        number=number,
        name=_name(fields.get("name")),
        short_name=_name(fields.get("short")),
        former_names=tuple(filter(None, names))[:MOST_FORMER_NAMES],
        hardware=_label(fields.get("hardware")),
        role=_label(fields.get("role")),
        heard=_instant(fields, "heard_ms", timeline),
        snr_db=_number(fields, "snr_db"),
        rssi_dbm=_whole(fields, "rssi_dbm"),
        hops=_whole(fields, "hops"),
        battery_percent=_whole(fields, "battery"),
        via_mqtt=fields["mqtt"] if isinstance(fields.get("mqtt"), bool) else None,
        public_key=_key(fields.get("key")),
        channel=_whole(fields, "channel") or 0,
        is_favourite=fields.get("favourite") is True,
        spoken=_instant(fields, "spoken_ms", timeline),
        place=_place(fields.get("place")),
        placed=_instant(fields, "placed_ms", timeline),
        is_place_private=fields.get("private") is True,
    )


def of_this_time(entries: Sequence[Entry], now_ms: int) -> list[Entry]:
    """Return those entries anew that were kept by a clock of the future: heard just now, in the order they were."""
    ahead = [one for one in entries if any(at and at.kept_ms > now_ms for at in (one.heard, one.spoken, one.placed))]
    ahead.sort(key=lambda one: one.heard.kept_ms if one.heard else 0, reverse=True)
    return [
        replace(
            one,
            heard=_no_later(one.heard, now_ms - nth),
            spoken=_no_later(one.spoken, now_ms),
            placed=_no_later(one.placed, now_ms),
        )
        for nth, one in enumerate(ahead)
    ]


def _no_later(at: Instant | None, than_ms: int) -> Instant | None:
    return at if at is None else Instant(kept_ms=min(at.kept_ms, than_ms))


def _kept(instant: Instant | None, timeline: Timeline) -> int | None:
    return None if instant is None else timeline.to_keep(instant)


def _instant(fields: Mapping[str, Any], key: str, timeline: Timeline) -> Instant | None:
    wall_ms = _whole(fields, key)
    return None if wall_ms is None else timeline.kept(wall_ms)


def _name(value: object) -> str:
    return plain_name(value) if isinstance(value, str) else ""


def _label(value: object) -> str:
    return value[:_MOST_LABEL] if isinstance(value, str) else ""


def _number(fields: Mapping[str, Any], key: str) -> float | None:
    value = fields.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) < _MOST_NUMBER else None  # not the infinite ones either


def _whole(fields: Mapping[str, Any], key: str) -> int | None:
    value = fields.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST_NUMBER else None


def _key(value: object) -> bytes:
    try:
        key = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        return b""
    return key if len(key) == KEY_BYTES else b""


def _place(value: object) -> Location | None:
    if not isinstance(value, list):
        return None
    try:
        latitude, longitude, altitude_m, accuracy_m = value
        return Location(latitude=latitude, longitude=longitude, altitude_m=altitude_m, accuracy_m=accuracy_m)
    except (TypeError, ValueError):
        return None
