# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages and deliveries as compact, versioned JSON: a list, so that no field name costs bytes.

The first element is the version. A change to a list's order bumps it and keeps a reader for the old
one: queues and journals outlive an upgrade.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, assert_never

from gateway.model import (
    MOST_LATE_MS,
    Address,
    Content,
    Delivery,
    Edit,
    Lane,
    Location,
    Message,
    NativeId,
    Reaction,
    Redaction,
    RemoteId,
    Sender,
    SenderId,
    Text,
    Topic,
)

PLAIN = 1
"""The version of talk, which is nearly everything: a release that knows no topics reads it."""
VERSION = 2
"""With a topic at the end."""

_to_json = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
_address = lru_cache(maxsize=4096)(Address.parse)  # there are few, and each is in many envelopes


# What taking apart JSON of another shape raises.
_MISSHAPEN = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)


class UnreadableEnvelope(ValueError):
    """The bytes are no envelope of a version this release reads."""


def encode_message(message: Message) -> bytes:
    """Return the envelope of a message; `resume` isn't part of it."""
    return _dump(_with_topic([*_message_fields(message)], message))


def decode_message(data: bytes) -> Message:
    """Read what `encode_message` wrote; UnreadableEnvelope for anything else."""
    try:
        return _message(_load(data))
    except _MISSHAPEN as error:
        raise UnreadableEnvelope("not a message's envelope") from error


def encode(delivery: Delivery) -> bytes:
    """Return the envelope of a delivery; its message's own id at the origin is the journal's to know."""
    if delivery.envelope is not None:
        return delivery.envelope
    head = [str(delivery.to), delivery.part, delivery.parts, delivery.expires_ms, int(delivery.direct)]
    envelope = _dump(_with_topic([*head, *_message_fields(delivery.message)[:-1], None], delivery.message))
    object.__setattr__(delivery, "envelope", envelope)
    return envelope


def decode(data: bytes) -> Delivery:
    """Read what `encode` wrote; UnreadableEnvelope for anything else."""
    try:
        to, part, parts, expires_ms, direct, *fields = _load(data)
        return Delivery(
            to=_address(to),
            part=part,
            parts=parts,
            expires_ms=expires_ms,
            direct=bool(direct),
            message=_message(fields),
        )
    except _MISSHAPEN as error:
        raise UnreadableEnvelope("not a delivery's envelope") from error


def _with_topic(fields: list[Any], message: Message) -> list[Any]:
    late_ms = message.late_ms or None  # a release that doesn't know it reads the same without it
    if message.topic is Topic.TALK:
        return [PLAIN, *fields, None, late_ms]
    return [VERSION, *fields, message.topic.value, late_ms]


def _dump(fields: list[Any]) -> bytes:
    while fields[-1] is None:
        fields.pop()
    return _to_json(fields).encode("utf-8", "replace")


def _load(data: bytes) -> list[Any]:
    fields: list[Any]
    version, *fields = json.loads(data)
    if version not in {PLAIN, VERSION}:
        raise UnreadableEnvelope(f"an envelope of version {version}, this release reads {PLAIN} and {VERSION}")
    return fields


def _message_fields(message: Message) -> list[Any]:
    return [
        message.native_id,
        str(message.origin),
        message.sender.id,
        message.sender.name,
        message.received_ms,
        message.lane.value[0],
        int(message.direct),
        *_content_fields(message.content),
        message.reply_to,
        message.remote_id,
    ]


def _content_fields(content: Content) -> list[Any]:
    match content:
        case Text():
            # A release that knows no links reads the same without it.
            return ["m" if content.emote else "t", content.body, content.link or None]
        case Reaction():
            return ["r", content.emoji, content.target]
        case Edit():
            return ["e", content.body, content.target]
        case Redaction():
            return ["x", "", content.target]
        case Location():
            # A release that knows no places finds a kind it doesn't know: unreadable to it, like another version.
            numbers = [content.latitude, content.longitude, content.altitude_m, content.accuracy_m]
            return ["g", content.words, numbers]
        case _:
            assert_never(content)


LANE_OF_MESSAGE = "$[6]"
"""Where `encode_message` puts the lane, as SQLite's JSON functions say it."""

LATE_OF_MESSAGE = "$[14]"
"""Where it puts how late a message came, if it did."""

_LANES = {lane.value[0]: lane for lane in Lane}


def _message(fields: list[Any]) -> Message:
    native, origin, sender, name, received_ms, lane, direct, kind, body, *optional = fields
    target, reply_to, remote_id, topic, late_ms = (*optional, None, None, None, None, None)[:5]
    return Message(
        native_id=NativeId(native),
        origin=_address(origin),
        sender=Sender(id=SenderId(sender), name=name),
        received_ms=received_ms,
        late_ms=_late(late_ms),
        lane=_LANES[lane],
        topic=Topic.TALK if topic is None else Topic(topic),
        direct=bool(direct),
        content=_content(kind, body, target),
        reply_to=reply_to,
        remote_id=remote_id,
    )


def _late(late_ms: Any) -> int:
    if late_ms is None:
        return 0
    if type(late_ms) is not int or not 0 <= late_ms <= MOST_LATE_MS:
        raise UnreadableEnvelope("not a time by which it was late")
    return late_ms


def _content(kind: str, body: str, target: Any) -> Content:
    if not isinstance(body, str):
        raise UnreadableEnvelope("content without words")
    if kind == "g":
        return _location(body, target)
    if target is not None and not isinstance(target, str):
        raise UnreadableEnvelope("a target that is no text")
    if kind in {"t", "m"}:
        return Text(body=body, emote=kind == "m", link=target or "")
    if target is None:
        raise UnreadableEnvelope("a relation without its target")
    if kind == "r":
        return Reaction(target=RemoteId(target), emoji=body)
    if kind == "e":
        return Edit(target=RemoteId(target), body=body)
    if kind == "x":
        return Redaction(target=RemoteId(target))
    raise UnreadableEnvelope("content of an unknown kind")


def _location(words: str, numbers: Any) -> Location:
    latitude, longitude, altitude_m, accuracy_m = (None if number is None else float(number) for number in numbers)
    if latitude is None or longitude is None:
        raise UnreadableEnvelope("a place without its coordinates")
    return Location(latitude=latitude, longitude=longitude, altitude_m=altitude_m, accuracy_m=accuracy_m, words=words)
