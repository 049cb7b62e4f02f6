# SPDX-License-Identifier: GPL-3.0-or-later
"""An entry of the log as a message for this box's core. Pure."""

from __future__ import annotations

from bridges.lan.entries import Said
from bridges.lan.places import is_direct, other_in, person_in
from bridges.lan.shared import mark_of
from bridges.lan.store import Arrived
from gateway.model import Address, BridgeName, Message, RemoteId, ResumePoint


def to_message(said: Said, arrived: Arrived, bridge: BridgeName, *, received_ms: int, is_ours: bool) -> Message | None:
    """Return the message; None of what is nobody else's: what somebody is told alone, unless they told it a radio."""
    is_told = person_in(said.room) == said.sender.id and (is_ours or other_in(said.room))
    if is_direct(said.room) and not is_told:
        return None
    return Message(
        native_id=said.native,
        origin=Address(bridge, said.room),
        sender=said.sender,
        content=said.content,
        received_ms=received_ms,
        late_ms=said.late_ms,
        remote_id=RemoteId(said.native),
        reply_to=None if said.reply_to is None else RemoteId(said.reply_to),
        lane=said.lane,
        topic=said.topic,
        said_in=said.said_in,
        resume=ResumePoint(mark_of(arrived)),
    )
