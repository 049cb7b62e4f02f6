# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens on a connection to a node, as its session tells it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from meshtastic.protobuf.mesh_pb2 import MeshPacket, NodeInfo, QueueStatus

from gateway.model import LinkDown


@dataclass(frozen=True, slots=True)
class Arrived:
    """A packet from the mesh, or from our node about one of ours."""

    packet: MeshPacket


@dataclass(frozen=True, slots=True)
class Met:
    """An entry of our node's database."""

    info: NodeInfo


@dataclass(frozen=True, slots=True)
class Queued:
    """What became of a packet at the node's transmit queue; id 0: nothing but its state."""

    status: QueueStatus


@dataclass(frozen=True, slots=True)
class Noticed:
    """The firmware has a word for people."""

    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The handshake is over: texts can be sent."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """The node rebooted; the handshake runs again."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is of no use any more, and why."""

    reason: str
    is_silent: bool = False
    """Nothing that a radio says came at all."""
    is_stranger: bool = False
    """It is a radio, but not the one that is wanted."""
    error: LinkDown | None = None
    """The same as an error, where a connection says it."""


Event = Arrived | Met | Queued | Noticed | Ready | Restarted | Lost
