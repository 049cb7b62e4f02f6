# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kinds of things go first where not all can go. Pure."""

from __future__ import annotations

from enum import IntEnum

from bridges.meshtastic.places import is_direct
from gateway.model import Candidate, Location, Reaction, Topic


class Class(IntEnum):
    """In the order they go, within a lane."""

    DIRECT = 0
    """To one node."""
    REPLY = 1
    """Somebody waits for it."""
    MEMBER = 2
    DIGEST = 3
    """Old already."""
    TELEMETRY = 4
    """What devices tell: where they are, what they measure and detect. There will be another one."""


_TOLD_AGAIN = frozenset({Topic.POSITION, Topic.WAYPOINT, Topic.SENSOR, Topic.TELEMETRY})


def class_of(candidate: Candidate) -> Class:
    """Return what kind of thing waits."""
    message = candidate.delivery.message
    if is_direct(candidate.delivery.to.conversation):
        return Class.DIRECT
    if candidate.is_digest:
        return Class.DIGEST
    if isinstance(message.content, Location) or message.topic in _TOLD_AGAIN:
        return Class.TELEMETRY
    if message.reply_to is not None or isinstance(message.content, Reaction):
        return Class.REPLY
    return Class.MEMBER
