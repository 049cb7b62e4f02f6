# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator can choose by a word: what is done with positions, and which questions are answered. Pure."""

from __future__ import annotations

from enum import StrEnum


class Positions(StrEnum):
    """What is done with the positions of nodes."""

    OFF = "off"
    """Nothing: they are neither passed on nor asked for."""
    REQUEST = "request"
    """A node is asked for its own where somebody asks the gateway, and only they are told."""
    KEEP = "keep"
    """Besides, those that nodes broadcast stand in the node directory."""
    ON = "on"
    """Besides, those that nodes broadcast, and waypoints, are messages."""

    @property
    def are_kept(self) -> bool:
        """Whether the node directory says where nodes are."""
        return self in (Positions.KEEP, Positions.ON)


class Question(StrEnum):
    """What can be asked of the gateway on the air, with a ``!`` before it."""

    PING = "ping"
    """How our node hears the asker."""
    NODES = "nodes"
    """Who was heard lately."""
    GW = "gw"
    """How the gateway is."""
