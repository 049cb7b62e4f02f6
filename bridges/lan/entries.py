# SPDX-License-Identifier: GPL-3.0-or-later
"""What boxes write into the log of messages, as JSON: what people say, and what became of it. Pure.

Whoever reads it reads what another box wrote, perhaps of a later release: strictly, bounded, and what it doesn't
know it skips. Words stay words: no markup is made of them, and none is taken off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridges.lan.contents import content_of, fields_of
from bridges.lan.fields import Unreadable, choice, identity, number, optional, words
from gateway.model import MOST_LATE_MS, Content, Lane, Message, NativeId, Sender, SenderId, Topic, plain_name

VERSION = 1
MOST_SENDER_NAME = 120
MOST_REASON = 300
COPY = "room:"
"""Begins the native id of an entry that has a message in a second room: ``room:warnings:mx:$event``."""
PAGE = "web:"
"""Begins the native id of what was said at a page: ``web:BOX:...``."""
CUT = "not connected just now"
"""The reason where the network itself is away: which device or host that is, its own box's status says."""
_NETWORKS = {"mx:": "matrix", "mt:": "radio", PAGE: "page", "api:": "operator"}
_KINDS = frozenset({"text", "reaction", "edit", "redaction", "location"})
_OTHERS = frozenset({"add", "remove", "emitting", "emitted", "verdict"})
"""Kinds of entries that are read elsewhere: of boxes, of who says what where, and of what is decided of people."""
_MOST_MS = 2**53


class Unknown(Unreadable):
    """It is of a kind, or a release, that this one doesn't know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Somebody said something. Ids in it (`reply_to`, the content's `target`) are native ones."""

    native: NativeId
    room: str
    sender: Sender
    content: Content = field(repr=False)
    said_ms: int
    """By the clock of the box that logged it, which may be wrong."""
    late_ms: int = 0
    """How long after that the same box had it: of what its network kept while it couldn't be reached."""
    reply_to: NativeId | None = None
    lane: Lane = Lane.NORMAL
    topic: Topic = Topic.TALK
    said_in: str | None = None
    """What every box calls the conversation it was said in: see `gateway.model.Commons`."""

    @property
    def network(self) -> str:
        """Where it came from: ``matrix``, ``radio``, ``page``, ``operator``; ``lan`` if that can't be told."""
        return next((name for prefix, name in _NETWORKS.items() if self.native.startswith(prefix)), "lan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What became of a message on its way to one address of the box that wrote this."""

    about: NativeId
    leg: str
    """The address there: ``radio/LongFast``."""
    state: str
    reason: str = ""


Entry = Said | Standing


def said_body(message: Message, room: str, *, said_in: str | None = None) -> str:
    """Return the body of the event that has this message; its remote ids are native ones already."""
    said: dict[str, Any] = {
        "room": room,
        "sender": {"id": message.sender.id, "name": plain_name(message.sender.name, MOST_SENDER_NAME)},
        "said_ms": message.said_ms,
        **fields_of(message.content),
    }
    if message.late_ms:
        said["late_ms"] = message.late_ms
    if message.reply_to is not None:
        said["reply_to"] = message.reply_to
    if message.lane is not Lane.NORMAL:
        said["lane"] = message.lane.value
    if message.topic is not Topic.TALK:
        said["topic"] = message.topic.value
    if said_in is not None:
        said["said_in"] = said_in
    return _body(message.content.kind, said)


def copy_body(body: str, native: NativeId) -> str:
    """Return the body of an entry that has a message in a second room, where it goes by another native id."""
    return json.dumps({**json.loads(body), "native": native}, ensure_ascii=False, separators=(",", ":"))


def standing_body(standing: Standing) -> str:
    """Return the body of the event that says it."""
    said = {"about": standing.about, "leg": standing.leg, "state": standing.state}
    return _body("state", said | ({"reason": standing.reason[:MOST_REASON]} if standing.reason else {}))


def read(native: str, body: str) -> Entry | None:
    """Read an event's body; None if it is none of messages, but of what is read elsewhere.

    Unknown: it is of a kind or a release that this one doesn't know. Unreadable, with the reason: it is none.
    """
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable("not JSON") from error
    if not isinstance(raw, dict):
        raise Unreadable("not an object")
    kind = raw.get("kind")
    if isinstance(kind, str) and kind in _OTHERS:
        return None
    if raw.get("v") != VERSION:
        raise Unknown("of another release")
    return _read(kind, native, raw)


def _read(kind: object, native: str, raw: Mapping[str, Any]) -> Entry:
    match kind:
        case str() if kind in _KINDS:
            return _said(kind, native, raw)
        case "state":
            return Standing(
                about=NativeId(identity(raw, "about")),
                leg=words(raw, "leg", most=MOST_REASON),
                state=words(raw, "state", most=MOST_REASON),
                reason=words(raw, "reason", most=MOST_REASON, default=""),
            )
        case _:
            raise Unknown("of a kind that isn't known here")


def _said(kind: str, native: str, raw: Mapping[str, Any]) -> Said:
    if not native:
        raise Unreadable("it has no native id")
    called = identity(raw, "native") if native.startswith(COPY) else native
    reply_to = optional(raw, "reply_to", identity)
    return Said(
        native=NativeId(called),
        room=identity(raw, "room"),
        sender=_sender(raw.get("sender")),
        content=content_of(kind, raw),
        said_ms=round(number(raw, "said_ms", least=0, most=_MOST_MS)),
        late_ms=optional(raw, "late_ms", _late) or 0,
        reply_to=None if reply_to is None else NativeId(reply_to),
        lane=choice(raw, "lane", Lane.NORMAL),
        topic=choice(raw, "topic", Topic.TALK),
        said_in=optional(raw, "said_in", identity),
    )


def _late(raw: Mapping[str, Any], key: str) -> int:
    return round(number(raw, key, least=0, most=MOST_LATE_MS))


def _sender(raw: object) -> Sender:
    if not isinstance(raw, dict):
        raise Unreadable("it has no sender")
    sender = identity(raw, "id")
    return Sender(id=SenderId(sender), name=plain_name(words(raw, "name", default=""), MOST_SENDER_NAME) or sender)


def _body(kind: str, said: Mapping[str, Any]) -> str:
    return json.dumps({"v": VERSION, "kind": kind, **said}, ensure_ascii=False, separators=(",", ":"))
