# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node says of itself, put into its entry: names, keys, charge, where it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from google.protobuf.message import DecodeError
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import HardwareModel, MeshPacket, NodeInfo, Position, User
from meshtastic.protobuf.portnums_pb2 import PortNum
from meshtastic.protobuf.telemetry_pb2 import Telemetry

from bridges.meshtastic.entries import KEY_BYTES, MOST_FORMER_NAMES, Entry
from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.positions import read_position
from bridges.meshtastic.timeline import Instant, Timeline
from gateway.model import Location, plain_name

_FULL_BATTERY = 100
_ID = re.compile(r"![0-9a-f]{8}\Z|@[^\s:]+:\S+\Z|~[^\s@]+@\S+\Z", re.IGNORECASE)
"""A node's, a Matrix user's, one on the LAN."""
_MARK = re.compile(r"/(?=(?:[0-9a-f]{4}){1,2}\Z)", re.IGNORECASE)
"""What only we put behind a name."""


def introduced(entry: Entry, user: User) -> Entry:
    """Return the entry with the names a node gives itself; those it had are kept as former ones."""
    name, short_name = _own_name(user.long_name) or entry.name, _own_name(user.short_name)
    given_up = [old for old in (entry.name, entry.short_name) if old and old not in (name, short_name)]
    before = [old for old in entry.former_names if old not in (*given_up, name, short_name)]
    return replace(
        entry,
        name=name,
        short_name=short_name,
        former_names=(*given_up, *before)[:MOST_FORMER_NAMES],
        hardware=_label(HardwareModel, user.hw_model),
        role=_label(Config.DeviceConfig.Role, user.role),
    )


def introduced_on_air(entry: Entry, user: User, count: Callable[[str], None]) -> Entry:
    """Do the same with what was heard on air, where anybody can say it.

    One with another key than the node is known by is not believed, as the firmware does; one without leaves the key.
    """
    key = _key(user)
    if entry.public_key and key and key != entry.public_key:
        count("node_key_differs")
        return entry
    return replace(introduced(entry, user), public_key=key or entry.public_key)


def told_by_radio(entry: Entry, info: NodeInfo, timeline: Timeline, *, keeps_places: bool) -> Entry:
    """Return the entry with what our node's own database says. Its times are by its clock: kept if they can be."""
    if info.HasField("user"):
        # The radio is who encrypts: the key it has, or lacks, is the one that counts.
        entry = replace(introduced(entry, info.user), public_key=_key(info.user))
    heard = timeline.at(info.last_heard * 1000)
    if heard is not None and timeline.order(heard) > timeline.order(entry.heard):
        entry = replace(entry, heard=heard, via_mqtt=info.via_mqtt)
    if info.HasField("device_metrics"):
        entry = _charged(entry, info.device_metrics.battery_level)
    if info.HasField("hops_away"):
        entry = replace(entry, hops=info.hops_away)
    if keeps_places and info.HasField("position") and not entry.is_place_private:
        entry = _placed(entry, info.position, timeline.at(info.position.time * 1000))
    return replace(entry, channel=info.channel, snr_db=info.snr or entry.snr_db, is_favourite=info.is_favorite)


def heard_on_air(entry: Entry, packet: MeshPacket, timeline: Timeline) -> Entry:
    """Return the entry with how a packet of the node's came to us. Over the internet there is no signal to speak of."""
    entry = replace(entry, heard=timeline.now(), via_mqtt=packet.via_mqtt)
    if not packet.via_mqtt:
        entry = replace(entry, snr_db=packet.rx_snr or entry.snr_db, rssi_dbm=packet.rx_rssi or entry.rssi_dbm)
    # A hop_start of 0 is that of old firmware, which doesn't say; a bitfield shows that it does.
    if packet.hop_start >= packet.hop_limit and (packet.hop_start or packet.decoded.HasField("bitfield")):
        entry = replace(entry, hops=packet.hop_start - packet.hop_limit)
    return entry if packet.pki_encrypted else replace(entry, channel=packet.channel)


def said_on_air(
    entry: Entry, packet: MeshPacket, timeline: Timeline, *, keeps_places: bool, count: Callable[[str], None]
) -> Entry:
    """Return the entry with what a packet says of its sender; a payload that doesn't parse says nothing."""
    payload = packet.decoded.payload
    try:
        match packet.decoded.portnum:
            case PortNum.NODEINFO_APP:
                return introduced_on_air(entry, User.FromString(payload), count)
            case PortNum.TELEMETRY_APP:
                return _charged(entry, Telemetry.FromString(payload).device_metrics.battery_level)
            case PortNum.POSITION_APP if packet.to != BROADCAST:
                return replace(entry, is_place_private=True)
            case PortNum.POSITION_APP if keeps_places:
                return _placed(entry, Position.FromString(payload), timeline.now())
    except DecodeError:
        pass
    return entry


def _placed(entry: Entry, position: Position, placed: Instant | None) -> Entry:
    place = read_position(position)
    if not isinstance(place, Location):
        return entry
    old = entry.place
    if old and (old.latitude, old.longitude) == (place.latitude, place.longitude) and place.accuracy_m is None:
        # The radio's database leaves out how exact a place is.
        place = replace(place, accuracy_m=old.accuracy_m)
    return replace(entry, place=place, placed=placed or entry.placed, is_place_private=False)


def _charged(entry: Entry, level: int) -> Entry:
    # 101 means powered from outside; 0 that it isn't known.
    return replace(entry, battery_percent=min(level, _FULL_BATTERY)) if level else entry


def _own_name(said: str) -> str:
    """Return a name that isn't somebody's id, nor ends in what only we put behind names to tell two apart."""
    name = plain_name(said)
    return "" if _ID.match(name) else _MARK.sub("-", name)


def _key(user: User) -> bytes:
    return user.public_key if len(user.public_key) == KEY_BYTES else b""


def _label(names: object, number: int) -> str:
    """Return a protobuf enum's name, or the number that newer firmware uses."""
    try:
        return str(names.Name(number))  # type: ignore[attr-defined]  # protobuf's wrappers share no type
    except ValueError:
        return str(number)
