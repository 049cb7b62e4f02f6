# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes our own node knows, with their keys: what a radio's firmware keeps in its node database. Pure."""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshtastic.protobuf.mesh_pb2 import NodeInfo, User

from bridges.meshtastic.node.crypto import KEY_BYTES
from bridges.meshtastic.places import node_id

MOST_NODES = 500
_LONGEST_LONG_NAME = 40
_LONGEST_SHORT_NAME = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A node, as it introduced itself."""

    number: int
    long_name: str = ""
    short_name: str = ""
    hardware: int = 0
    role: int = 0
    key: bytes = b""
    """Its public key; empty: not known."""
    heard_s: int = 0
    """When it was last heard, by our clock, in Unix seconds."""
    is_spoken: bool = False
    """Something was sent to it alone: its key must not be had by pushing it out and coming back with another."""


class Roster:
    """At most `limit` nodes: past it the one silent longest is forgotten, those without a key first.

    Those that were written to alone go last.
    """

    def __init__(self, limit: int = MOST_NODES) -> None:
        self._limit = limit
        self._nodes: OrderedDict[int, Known] = OrderedDict()
        self.has_changed = False
        """Whether there is something new to keep; whoever keeps it resets this."""

    def key(self, number: int) -> bytes:
        """Return a node's public key; empty if it isn't known."""
        node = self._nodes.get(number)
        return node.key if node else b""

    def hear(self, number: int, unix: int) -> None:
        """Note that a node lives."""
        self._keep(replace(self._of(number), heard_s=unix))

    def spoke(self, number: int) -> None:
        """Note that something goes to a node alone; to one that isn't known it says nothing."""
        node = self._nodes.get(number)
        if node is not None and not node.is_spoken:
            self.has_changed = True
            self._keep(replace(node, is_spoken=True))

    def introduce(self, number: int, user: User) -> bool:
        """Take what a node says of itself; False, and nothing is taken, if its key is another than before.

        The first key stands, as in the firmware: otherwise whoever has the channel's key could read what is
        meant for somebody else.
        """
        node, key = self._of(number), bytes(user.public_key)
        key = key if len(key) == KEY_BYTES else b""
        if node.key and key != node.key:
            return False
        told = replace(
            node,
            long_name=user.long_name[:_LONGEST_LONG_NAME],
            short_name=user.short_name[:_LONGEST_SHORT_NAME],
            hardware=user.hw_model,
            role=user.role,
            key=key,
        )
        self.has_changed = self.has_changed or told != node
        self._keep(told)
        return True

    def infos(self) -> list[NodeInfo]:
        """Return the node database's entries as a client gets them."""
        return [_info(node) for node in self._nodes.values()]

    def to_json(self) -> dict[str, Any]:
        """Return what is kept on disk."""
        return {f"{node.number:08x}": _written(node) for node in self._nodes.values()}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Roster:
        """Read what `to_json` wrote; ValueError, KeyError or TypeError if it is something else."""
        roster = cls()
        for number, each in kept.items():
            node = _read(int(number, 16), each)
            _info(node)  # what can't be told to a client is found here
            roster._keep(node)
        return roster

    def _of(self, number: int) -> Known:
        return self._nodes.get(number) or Known(number=number)

    def _keep(self, node: Known) -> None:
        self._nodes[node.number] = node
        self._nodes.move_to_end(node.number)
        while len(self._nodes) > self._limit:
            # The first of the least worth: it is silent longest.
            goes = min((each for each in self._nodes.values() if each.number != node.number), key=_worth)
            del self._nodes[goes.number]


def _worth(node: Known) -> tuple[bool, bool]:
    return node.is_spoken, bool(node.key)


def _info(node: Known) -> NodeInfo:
    info = NodeInfo(num=node.number, last_heard=node.heard_s)
    if node.long_name or node.key:
        info.user.CopyFrom(
            User(
                id=node_id(node.number),
                long_name=node.long_name,
                short_name=node.short_name,
                hw_model=node.hardware,
                role=node.role,
                public_key=node.key,
            )
        )
    return info


def _written(node: Known) -> dict[str, Any]:
    return {
        "long": node.long_name,
        "short": node.short_name,
        "hardware": node.hardware,
        "role": node.role,
        "key": base64.b64encode(node.key).decode(),
        "heard": node.heard_s,
        "spoken": node.is_spoken,
    }


def _read(number: int, kept: Mapping[str, Any]) -> Known:
    try:
        key = base64.b64decode(str(kept["key"]), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the key of {node_id(number)} is no base64") from error
    if len(key) not in (0, KEY_BYTES):
        raise ValueError(f"the key of {node_id(number)} has the wrong size")
    return Known(
        number=number,
        long_name=str(kept["long"]),
        short_name=str(kept["short"]),
        hardware=int(kept["hardware"]),
        role=int(kept["role"]),
        key=key,
        heard_s=int(kept["heard"]),
        is_spoken=bool(kept.get("spoken")),  # not in files of before
    )
