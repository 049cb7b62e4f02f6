# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kinds of things go first where not all can go. Pure."""

from __future__ import annotations

from enum import IntEnum

from bridges.meshtastic.places import is_direct
from gateway.model import API_ADDRESS, Delivery, Location, Message, Reaction


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
    """Where things are: there will be another one."""


def class_of(delivery: Delivery) -> Class:
    """Return what kind of thing a delivery is."""
    message = delivery.message
    if is_direct(delivery.to.conversation):
        return Class.DIRECT
    if isinstance(message.content, Location):
        return Class.TELEMETRY
    if _is_digest(message):
        return Class.DIGEST
    if message.reply_to is not None or isinstance(message.content, Reaction):
        return Class.REPLY
    return Class.MEMBER


def _is_digest(message: Message) -> bool:
    """A digest is said by the gateway itself, whose id is its bare name: those of all networks begin with a sign."""
    sender = message.sender
    return sender.id == sender.name and sender.id[:1] not in "@!~" and message.origin != API_ADDRESS
