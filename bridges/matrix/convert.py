# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of any shape to messages. Pure: no I/O, time is passed in, nothing raises."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from bridges.matrix.mentions import plain
from bridges.matrix.names import masked
from bridges.matrix.plain import clean, cut, from_html, one_line, valid_id
from bridges.matrix.wire import mapping, sequence, text
from gateway.model import (
    Address,
    Content,
    Edit,
    Message,
    NativeId,
    Reaction,
    Redaction,
    RemoteId,
    Sender,
    SenderId,
    Text,
)

ORIGIN_KEY = "org.crossband.origin"
ID_KEY = "org.crossband.id"
PROFILE_KEY = "com.beeper.per_message_profile"  # MSC4144
PUPPET_KEY = "fi.mau.double_puppet_source"
PUPPET_NAME = "crossband"
"""What others of our kind would put there. Another bridge's puppet is a person who speaks from their phone."""

MAX_BODY_BYTES = 65_536
"""An event is at most 65,536 bytes (client-server specification, size limits): only nonsense is cut."""
MAX_EMOJI_BYTES = 64

_FILES = {"m.image": "image", "m.video": "video", "m.audio": "audio", "m.file": "file"}
_UNITS = ((1_000_000, 1, "MB"), (1_000, 0, "kB"))
_UNSPOKEN = ("m.key.verification.", "m.server_notice")
_REPLY_FALLBACK = re.compile(r"> (?:\* )?<@")
_COORDINATES = re.compile(r"geo:(-?\d{1,3}(?:\.\d{1,12})?),(-?\d{1,3}(?:\.\d{1,12})?)(?:[,;].*)?", re.DOTALL)


class Skip(StrEnum):
    """Why an event isn't a message for others."""

    OWN = "own"
    OTHER_BRIDGE = "other_bridge"
    NOTICE = "notice"
    """Bots speak so, and bots don't answer bots."""
    STATE = "state"
    ENCRYPTED = "encrypted"
    EMPTY = "empty"
    """Redacted, or nothing that can be said in words."""
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"


_SKIPPED = {"m.room.encrypted": Skip.ENCRYPTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is known around an event."""

    room: Address
    user_id: str
    """Our own: what it said is not for others."""
    received_ms: int
    name_of: Callable[[str], str]
    """What a user is called in this room, raw; empty if unknown."""
    on_air: Callable[[str, str], str] = field(default=lambda _, name: name)
    """Under which name a user's words go elsewhere, given what they are called."""


def to_message(event: object, reading: Reading) -> Message | Skip:
    """Return what the event says, or why it isn't for others."""
    event = mapping(event)
    event_id, sender = valid_id(event.get("event_id"), "$"), valid_id(event.get("sender"), "@")
    if event_id is None or sender is None:
        return Skip.MALFORMED
    content = mapping(event.get("content"))
    said = _not_for_others(event, sender, reading) or _content(event, content)
    if isinstance(said, Skip):
        return said
    return Message(
        native_id=NativeId(f"mx:{event_id}"),
        origin=reading.room,
        sender=Sender(id=SenderId(sender), name=_name(sender, content, reading)),
        content=_with_names(said, content, reading),
        received_ms=reading.received_ms,
        remote_id=RemoteId(event_id),
        reply_to=_reply_to(content) if isinstance(said, Text) else None,
    )


def localpart(user_id: str) -> str:
    """Return the user's own part of a user id."""
    return user_id[1:].partition(":")[0]


def _not_for_others(event: Mapping[str, Any], sender: str, reading: Reading) -> Skip | None:
    content = mapping(event.get("content"))
    if sender == reading.user_id:
        return Skip.OWN
    if ORIGIN_KEY in content or content.get(PUPPET_KEY) == PUPPET_NAME:
        return Skip.OTHER_BRIDGE
    return None if event.get("state_key") is None else Skip.STATE


def _name(sender: str, content: Mapping[str, Any], reading: Reading) -> str:
    named = text(mapping(content.get(PROFILE_KEY)).get("displayname")) or reading.name_of(sender)
    return reading.on_air(sender, masked(one_line(named) or localpart(sender)))


def _with_names(said: Content, content: Mapping[str, Any], reading: Reading) -> Content:
    if not isinstance(said, Text | Edit):
        return said
    mentioned = frozenset(map(text, sequence(mapping(content.get("m.mentions")).get("user_ids"))))
    body = cut(plain(said.body, reading.name_of, mentioned), MAX_BODY_BYTES)
    return said if body == said.body else replace(said, body=body)


def _content(event: Mapping[str, Any], content: Mapping[str, Any]) -> Content | Skip:
    match event.get("type"):
        case "m.room.message":
            return _spoken(content)
        case "m.sticker":
            return _said(_attachment("sticker", content), emote=False)
        case "m.reaction":
            return _reaction(content)
        case "m.room.redaction":  # the target moved into content with room version 11
            return _redaction(event.get("redacts") or content.get("redacts"))
        case other:
            return _SKIPPED.get(other, Skip.UNSUPPORTED) if isinstance(other, str) else Skip.MALFORMED


def _spoken(content: Mapping[str, Any]) -> Content | Skip:
    relation = mapping(content.get("m.relates_to"))
    if relation.get("rel_type") == "m.replace":
        return _edit(content, relation)
    return _words(content)


def _words(content: Mapping[str, Any]) -> Text | Skip:
    msgtype = content.get("msgtype")
    if not isinstance(msgtype, str):
        return Skip.MALFORMED if content else Skip.EMPTY
    if msgtype == "m.notice":
        return Skip.NOTICE
    if msgtype.startswith(_UNSPOKEN):
        return Skip.UNSUPPORTED
    if msgtype in _FILES:
        return _said(_attachment(_FILES[msgtype], content), emote=False)
    if msgtype == "m.location":
        return _said(_location(content), emote=False)
    # A type we don't know is shown by its body, as the specification asks of clients.
    return _said(_body(content), emote=msgtype == "m.emote")


def _said(body: str, *, emote: bool) -> Text | Skip:
    return Text(body=body, emote=emote) if body else Skip.EMPTY


def _edit(content: Mapping[str, Any], relation: Mapping[str, Any]) -> Edit | Skip:
    target = valid_id(relation.get("event_id"), "$")
    new = mapping(content.get("m.new_content"))
    if target is None or not new:
        return Skip.MALFORMED
    words = _words({**new, PROFILE_KEY: new.get(PROFILE_KEY, content.get(PROFILE_KEY))})
    return words if isinstance(words, Skip) else Edit(target=RemoteId(target), body=words.body)


def _reaction(content: Mapping[str, Any]) -> Reaction | Skip:
    relation = mapping(content.get("m.relates_to"))
    target, key = valid_id(relation.get("event_id"), "$"), text(relation.get("key"))
    if target is None or relation.get("rel_type") != "m.annotation" or not key:
        return Skip.MALFORMED
    if key.startswith("mxc://"):  # a picture; its short code is all that words can show
        key = text(content.get("com.beeper.reaction.shortcode")) or text(content.get("shortcode"))
    emoji = one_line(key, MAX_EMOJI_BYTES)
    return Reaction(target=RemoteId(target), emoji=emoji) if emoji else Skip.EMPTY


def _redaction(redacts: object) -> Redaction | Skip:
    target = valid_id(redacts, "$")
    return Skip.MALFORMED if target is None else Redaction(target=RemoteId(target))


def _reply_to(content: Mapping[str, Any]) -> RemoteId | None:
    relation = mapping(content.get("m.relates_to"))
    if relation.get("rel_type") == "m.thread" and relation.get("is_falling_back") is True:
        return None  # the thread's last message, named only for clients without threads
    target = valid_id(mapping(relation.get("m.in_reply_to")).get("event_id"), "$")
    return None if target is None else RemoteId(target)


def _body(content: Mapping[str, Any]) -> str:
    body = clean(text(content.get("body"))).strip()
    if not body and content.get("format") == "org.matrix.custom.html":
        body = clean(from_html(text(content.get("formatted_body")))).strip()
    if "m.in_reply_to" in mapping(content.get("m.relates_to")):
        body = _without_quote(body)
    return cut(_without_name(body, mapping(content.get(PROFILE_KEY))), MAX_BODY_BYTES)


def _without_quote(body: str) -> str:
    """Drop what clients before 2024 put above a reply: the quoted lines and the empty one after."""
    if not _REPLY_FALLBACK.match(body):
        return body
    lines = body.split("\n")
    quoted = next((n for n, line in enumerate(lines) if not line.startswith(">")), len(lines))
    return "\n".join(lines[quoted:]).strip()


def _without_name(body: str, profile: Mapping[str, Any]) -> str:
    name = clean(text(profile.get("displayname")))
    return body.removeprefix(f"{name}: ") if name and profile.get("has_fallback") is True else body


def _attachment(kind: str, content: Mapping[str, Any]) -> str:
    if "org.matrix.msc3245.voice" in content:
        kind = "voice message"
    size = _size(mapping(content.get("info")).get("size"))
    body, named = _body(content), text(content.get("filename"))
    name = one_line(named) or one_line(body)
    caption = body if named and body != clean(named).strip() else ""  # with a file name, the body is a caption
    first = f"[{kind} {size}]" if size else f"[{kind}]"
    return cut("\n".join(filter(None, (f"{first} {name}".strip(), caption))), MAX_BODY_BYTES)


def _size(value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**50:
        return ""
    return next((f"{value / unit:.{digits}f} {name}" for unit, digits, name in _UNITS if value >= unit), f"{value} B")


def _location(content: Mapping[str, Any]) -> str:
    place = _COORDINATES.fullmatch(text(content.get("geo_uri"))[:200])
    if place is None:
        return _body(content)
    words = _body(content)
    return f"[location {place[1]},{place[2]}]" + (f" {words}" if words and "geo:" not in words else "")
