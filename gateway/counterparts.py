# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message refers to, in the words of the network it goes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.journal import Journal
from gateway.model import (
    API_ADDRESS,
    Address,
    Delivery,
    Edit,
    GatewayError,
    Message,
    MessageId,
    Reaction,
    Redaction,
    Rejected,
    RemoteId,
)


class AboutFolded(GatewayError):
    """What a reaction, an edit or a redaction is about was folded: a digest is not what it means."""


Formerly = Callable[[Address, Address], Address | None]
"""``formerly(room, person)``: where else on the room's network went what that person said in private, before
they had a direct chat with the room; None: nowhere else."""


def nowhere_else(room: Address, person: Address) -> None:
    """Be a `Formerly` where everybody stays where they are."""
    del room, person


async def resolve(delivery: Delivery, journal: Journal, formerly: Formerly = nowhere_else) -> Message:
    """Put the destination's own ids in place of the origin's.

    Rejected if a relation has lost its target, AboutFolded if that went into a digest; a reply to what
    did answers the digest. JournalError if it can't be told.
    """
    message = delivery.message
    if message.reply_to is not None:
        message = replace(message, reply_to=await _answered(message, message.reply_to, delivery.to, journal, formerly))
    content = message.content
    if isinstance(content, Reaction | Edit | Redaction):
        target = await _target(message, content, delivery.to, journal, formerly)
        message = replace(message, content=replace(content, target=target))
    return message


async def _answered(
    message: Message, id: RemoteId, to: Address, journal: Journal, formerly: Formerly
) -> RemoteId | None:
    at, known_as = message.origin, id
    if message.origin == API_ADDRESS:
        record = await journal.message(MessageId(id))
        if record is None or record.message.remote_id is None:
            return None
        at, known_as = record.message.origin, record.message.remote_id
    found = await _counterpart(at, known_as, to, journal, formerly)
    if found is not None:
        return found
    digest = await journal.revisions.digest_of(at, known_as, to)
    return None if digest is None else digest[1]


async def _target(
    message: Message, content: Reaction | Edit | Redaction, to: Address, journal: Journal, formerly: Formerly
) -> RemoteId:
    digest = await journal.revisions.digest_of(message.origin, content.target, to)
    if digest is not None:
        raise AboutFolded(f"what this {content.kind} is about went into the digest {digest[0]}")
    target = await _counterpart(message.origin, content.target, to, journal, formerly)
    if target is None:
        raise Rejected(f"what this {content.kind} is about isn't known there")
    return target


async def _counterpart(at: Address, id: RemoteId, to: Address, journal: Journal, formerly: Formerly) -> RemoteId | None:
    found = await journal.counterpart(at, id, to)
    if found is None and (before := formerly(at, to)) is not None:
        found = await journal.counterpart(before, id, to)
    if found is None and (before := formerly(to, at)) is not None:
        found = await journal.counterpart(at, id, before)
    return found
