# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is out there, as our node's database and the packets we see tell it. Pure."""

from __future__ import annotations

from dataclasses import replace

from google.protobuf.message import DecodeError
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import HardwareModel, MeshPacket, NodeInfo, User
from meshtastic.protobuf.portnums_pb2 import PortNum
from meshtastic.protobuf.telemetry_pb2 import Telemetry

from bridges.meshtastic.places import node_id
from gateway.model import Node, SenderId

MOST_NODES = 500
MOST_NAME_CHARACTERS = 40
_FULL_BATTERY = 100
_EARLIEST_S = 1_600_000_000
"""A node's clock that shows less than this (2020) was never set."""


class NodeBook:
    """The nodes heard of, at most `limit`: past it the one silent for longest is forgotten."""

    def __init__(self, limit: int = MOST_NODES) -> None:
        self._limit = limit
        self._nodes: dict[int, Node] = {}
        self._channels: dict[int, int] = {}

    def name(self, number: int) -> str:
        """Return a node's long name, or its ``!hex`` while that isn't known."""
        node = self._nodes.get(number)
        return node.name if node else node_id(number)

    def channel(self, number: int) -> int:
        """Return the channel that a node was last heard on, the first while that isn't known."""
        return self._channels.get(number, 0)

    def listed(self) -> tuple[Node, ...]:
        """Return all nodes, most recently heard first."""
        return tuple(sorted(self._nodes.values(), key=lambda node: node.last_heard_ms or 0, reverse=True))

    def learn(self, info: NodeInfo, now_ms: int) -> None:
        """Take an entry of our node's database. Its times are by the node's clock: kept only if plausible."""
        node = self._of(info.num)
        if info.HasField("user"):
            node = _introduced(node, info.user)
        if _EARLIEST_S < info.last_heard <= now_ms // 1000:
            node = replace(node, last_heard_ms=max(info.last_heard * 1000, node.last_heard_ms or 0))
        if info.HasField("device_metrics"):
            node = _charged(node, info.device_metrics.battery_level)
        if info.HasField("hops_away"):
            node = replace(node, hops=info.hops_away)
        self._channels[info.num] = info.channel
        self._keep(info.num, replace(node, snr_db=info.snr or node.snr_db))

    def hear(self, packet: MeshPacket, now_ms: int) -> None:
        """Note who sent a packet and what it says of them."""
        number = getattr(packet, "from")
        if not number:
            return
        node = replace(self._of(number), last_heard_ms=now_ms)
        if packet.rx_snr:
            node = replace(node, snr_db=packet.rx_snr)
        if packet.hop_start >= packet.hop_limit > 0:
            node = replace(node, hops=packet.hop_start - packet.hop_limit)
        if not packet.pki_encrypted:
            self._channels[number] = packet.channel
        self._keep(number, _told(node, packet))

    def _of(self, number: int) -> Node:
        return self._nodes.get(number) or Node(id=SenderId(node_id(number)), name=node_id(number))

    def _keep(self, number: int, node: Node) -> None:
        self._nodes[number] = node
        if len(self._nodes) > self._limit:
            others = (each for each in self._nodes if each != number)
            forgotten = min(others, key=lambda each: self._nodes[each].last_heard_ms or 0)
            del self._nodes[forgotten]
            self._channels.pop(forgotten, None)


def _told(node: Node, packet: MeshPacket) -> Node:
    """Return what a node says of itself; a payload that doesn't parse says nothing."""
    payload = packet.decoded.payload
    try:
        if packet.decoded.portnum == PortNum.NODEINFO_APP:
            return _introduced(node, User.FromString(payload))
        if packet.decoded.portnum == PortNum.TELEMETRY_APP:
            return _charged(node, Telemetry.FromString(payload).device_metrics.battery_level)
    except DecodeError:
        pass
    return node


def _introduced(node: Node, user: User) -> Node:
    return replace(
        node,
        name=_clean(user.long_name) or node.name,
        short_name=_clean(user.short_name),
        hardware=_label(HardwareModel, user.hw_model),
        role=_label(Config.DeviceConfig.Role, user.role),
    )


def _charged(node: Node, level: int) -> Node:
    # 101 means powered from outside; 0 that it isn't known.
    return replace(node, battery_percent=min(level, _FULL_BATTERY)) if level else node


def _clean(name: str) -> str:
    """Return a name on one line without control characters."""
    printable = "".join(character if character.isprintable() else " " for character in name)
    return " ".join(printable.split())[:MOST_NAME_CHARACTERS]


def _label(names: object, number: int) -> str:
    """Return a protobuf enum's name, or the number that newer firmware uses."""
    try:
        return str(names.Name(number))  # type: ignore[attr-defined]  # protobuf's wrappers share no type
    except ValueError:
        return str(number)
