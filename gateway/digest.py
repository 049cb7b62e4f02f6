# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of a stale backlog: what goes into one, and what it says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from gateway.fitting import short_name, take
from gateway.journal import Folded, Held, Rewrite
from gateway.model import (
    Address,
    BridgeName,
    Capabilities,
    Delivery,
    DeliveryId,
    Lane,
    Location,
    Message,
    Sender,
    SenderId,
    Text,
    Topic,
    as_said,
)

LEAST_BYTES = 24
"""Of a message that is named: with less room than that for each, fewer are."""
BETWEEN = " | "
LEFT_OUT = "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Which deliveries go into a digest, and which of them carries it."""

    carrier: DeliveryId
    members: tuple[DeliveryId, ...]


def is_foldable(held: Held, *, lane: Lane, older_than_ms: int, now_ms: int) -> bool:
    """Whether a delivery may be said in short: words, old, certainly not gone out, and not too old for anything.

    Reactions and edits aren't words of their own, and emergencies are never folded. What has expired is
    the queue's to say so.
    """
    return (
        isinstance(held.message.content, Text | Location)
        and held.message.lane is lane is not Lane.EMERGENCY
        and held.message.received_ms < older_than_ms
        and not held.is_tried
        and (held.expires_ms is None or held.expires_ms > now_ms)
    )


class Stale(NamedTuple):
    """What is kept of a delivery that may be folded: a backlog can be long."""

    id: DeliveryId
    seq: int
    """Its message's."""
    parts: int


def choose(foldable: Sequence[Stale]) -> Fold | None:
    """Return what becomes one digest, of what may be folded in one conversation, in order; None if that is one message.

    A message of which some part is missing here goes its own way. The last message carries the digest:
    what is left of the backlog comes after it, and it grows too old last.
    """
    by_message = [list(parts) for _, parts in groupby(foldable, lambda stale: stale.seq)]
    whole = [parts for parts in by_message if len(parts) == parts[0].parts]
    if len(whole) < 2:  # noqa: PLR2004 - one old message is simply sent
        return None
    carrier = whole[-1][0].id
    members = tuple(stale.id for parts in whole for stale in parts if stale.id != carrier)
    return Fold(carrier=carrier, members=members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """How this box words its digests."""

    name: str
    """The box's: it is who speaks."""
    capabilities: Mapping[BridgeName, Capabilities]
    local: Callable[[int], datetime]
    """The box's local time for milliseconds since the epoch."""

    def rewrite(self, now_ms: int) -> Rewrite:
        """Return what gives a delivery its digest's words, as of now."""

        def rewritten(carrier: Delivery, folded: Folded) -> Delivery:
            capabilities = self.capabilities[carrier.to.bridge]
            room = capabilities.room_for(Text(body=""), carrier.to, False)
            when = span(self.local(folded.first_ms), self.local(folded.last_ms), today=self.local(now_ms))
            most = capabilities.max_name_bytes
            body = words(folded, when=when, room=room, max_name_bytes=most, shorten=capabilities.shorten)
            speaker = Sender(id=SenderId(self.name), name=self.name)
            said = replace(carrier.message, content=Text(body=body), sender=speaker, reply_to=None, topic=Topic.TALK)
            return replace(carrier, message=said, part=1, parts=1)

        return rewritten


def span(first: datetime, last: datetime, *, today: datetime) -> str:
    """Return from when to when: ``14:02-15:30``, with days where they aren't all today."""
    if first.date() == last.date() == today.date():
        begin, end = f"{first:%H:%M}", f"{last:%H:%M}"
    else:
        begin, end = _on_its_day(first), f"{last:%H:%M}" if last.date() == first.date() else _on_its_day(last)
    return begin if begin == end or first == last else f"{begin}-{end}"


def _on_its_day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %H:%M}"


def words(folded: Folded, *, when: str, room: int, max_name_bytes: int, shorten: Callable[[str], str] = as_said) -> str:
    """Return what a digest says, in at most `room` bytes.

    How many messages, from where, from when; then as many of the latest as have room for a few words,
    shortened fairly, in order.
    """
    head = _head(folded, when, room)
    said = [_one_line(message, max_name_bytes, shorten) for message in folded.latest]
    for shown in range(len(said), 0, -1):
        lead = f"{head}: " if shown == folded.count else f"{head}: {LEFT_OUT}{BETWEEN}"
        left = room - _size(lead) - _size(BETWEEN) * (shown - 1)
        latest = said[-shown:]
        if sum(min(_size(one), LEAST_BYTES) for one in latest) <= left:
            share = _share([_size(one) for one in latest], left)
            return lead + BETWEEN.join(_cut(one, share) for one in latest)
    return head


def _head(folded: Folded, when: str, room: int) -> str:
    count = f"{folded.count} earlier"
    where = _cut(_where(folded.origins), max(LEAST_BYTES, room // 4))
    heads = (f"{count} from {where} {when}", f"{count} {when}", count)
    return next((head for head in heads if _size(head) <= room), take(count, room)[0])


def _where(origins: Sequence[Address]) -> str:
    names = list(dict.fromkeys(origin.conversation for origin in origins))
    if len(names) > 2:  # noqa: PLR2004 - two can be named
        return f"{names[0]} and others"
    return ", ".join(names)


def _one_line(message: Message, max_name_bytes: int, shorten: Callable[[str], str]) -> str:
    name = short_name(message.sender, max_name_bytes)
    content = message.content
    if not isinstance(content, Text | Location):
        return f"{name}: {LEFT_OUT}"
    body = " ".join(shorten(content.body if isinstance(content, Text) else str(content)).split())
    # What stands between two of them is nobody's to write: with it, one could put words into another's mouth.
    return (f"* {name} {body}" if isinstance(content, Text) and content.emote else f"{name}: {body}").replace(
        BETWEEN.strip(), "/"
    )


def _share(sizes: Sequence[int], left: int) -> int:
    """Return how many bytes each may have at most, so that all together have no more than `left`."""
    for taken, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - taken)
        if size > share:
            return share
        left -= size
    return max(sizes)


def _cut(text: str, most: int) -> str:
    if _size(text) <= most:
        return text
    return take(text, most - _size(LEFT_OUT))[0].rstrip() + LEFT_OUT


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
