# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of any shape to messages. Pure: no I/O, time is passed in, nothing raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from bridges.matrix.attachments import FILES, POLL_ENDS, POLLS, file_words, poll_end_words, poll_words, sticker_words
from bridges.matrix.geo import to_place
from bridges.matrix.lateness import late_by
from bridges.matrix.mentions import plain
from bridges.matrix.names import masked
from bridges.matrix.plain import clean, cut, from_html, one_line, valid_id, without_quote
from bridges.matrix.wire import mapping, sequence, text
from gateway.model import (
    Address,
    Content,
    Edit,
    Location,
    Message,
    NativeId,
    Reaction,
    Redaction,
    RemoteId,
    Sender,
    SenderId,
    Text,
    words_of,
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

_UNSPOKEN = ("m.key.verification.", "m.server_notice")


class Skip(StrEnum):
    """Why an event isn't a message for others."""

    OWN = "own"
    OTHER_BRIDGE = "other_bridge"
    NOTICE = "notice"
    """Bots speak so, and bots don't answer bots."""
    STATE = "state"
    ENCRYPTED = "encrypted"
    BEACON = "beacon"
    """Live positions: one every few seconds is more than others can take."""
    VOTE = "vote"
    """In a poll: nobody else could count them."""
    EMPTY = "empty"
    """Redacted, or nothing that can be said in words."""
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"


_BEACONS = frozenset({"m.beacon_info", "org.matrix.msc3672.beacon_info"})
_SKIPPED = {
    "m.room.encrypted": Skip.ENCRYPTED,
    "m.beacon": Skip.BEACON,  # MSC3672
    "org.matrix.msc3672.beacon": Skip.BEACON,
    "m.poll.response": Skip.VOTE,  # MSC3381
    "org.matrix.msc3381.poll.response": Skip.VOTE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is known around an event."""

    room: Address
    user_id: str
    """Our own: what it said is not for others."""
    received_ms: int
    was_closed: bool = False
    """Whether nothing was to be carried from the room when it came, whatever people agreed to since."""
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
        late_ms=late_by(event, reading.received_ms),
        remote_id=RemoteId(event_id),
        reply_to=_reply_to(content) if isinstance(said, Text | Location) else None,
    )


def redacted_by(event: object) -> str:
    """Return the event that this one takes back; empty if it takes back none."""
    seen = mapping(event)
    if seen.get("type") != "m.room.redaction":
        return ""
    # The target moved into content with room version 11.
    return valid_id(seen.get("redacts") or mapping(seen.get("content")).get("redacts"), "$") or ""


def localpart(user_id: str) -> str:
    """Return the user's own part of a user id."""
    return user_id[1:].partition(":")[0]


def _not_for_others(event: Mapping[str, Any], sender: str, reading: Reading) -> Skip | None:
    content = mapping(event.get("content"))
    if sender == reading.user_id:
        return Skip.OWN
    if ORIGIN_KEY in content or content.get(PUPPET_KEY) == PUPPET_NAME:
        return Skip.OTHER_BRIDGE
    if event.get("state_key") is None:
        return None
    return Skip.BEACON if text(event.get("type")) in _BEACONS else Skip.STATE


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
        case "m.reaction":
            return _reaction(content)
        case "m.room.redaction":
            target = redacted_by(event)
            return Redaction(target=RemoteId(target)) if target else Skip.MALFORMED
        case str() as other:
            return _SKIPPED.get(other) or _in_words(other, content)
        case _:
            return Skip.MALFORMED


def _in_words(type_: str, content: Mapping[str, Any]) -> Text | Skip:
    if type_ == "m.sticker":
        return _said(sticker_words(_body(content)), emote=False)
    if type_ in POLLS:
        return _said(poll_words(type_, content), emote=False)
    if type_ in POLL_ENDS:
        return _said(poll_end_words(content), emote=False)
    return Skip.UNSUPPORTED


def _spoken(content: Mapping[str, Any]) -> Content | Skip:
    relation = mapping(content.get("m.relates_to"))
    if relation.get("rel_type") == "m.replace":
        return _edit(content, relation)
    return _words(content)


def _words(content: Mapping[str, Any]) -> Text | Location | Skip:
    msgtype = content.get("msgtype")
    if not isinstance(msgtype, str):
        return Skip.MALFORMED if content else Skip.EMPTY
    if msgtype == "m.notice":
        return Skip.NOTICE
    if msgtype.startswith(_UNSPOKEN):
        return Skip.UNSUPPORTED
    if msgtype in FILES:
        return _said(file_words(FILES[msgtype], content, _body(content)), emote=False)
    if msgtype == "m.location" and (place := to_place(content, _body(content))) is not None:
        return place
    # A type we don't know is shown by its body, as the specification asks of clients.
    return _said(_body(content), emote=msgtype == "m.emote")


def _said(body: str, *, emote: bool) -> Text | Skip:
    return Text(body=cut(body, MAX_BODY_BYTES), emote=emote) if body else Skip.EMPTY


def _edit(content: Mapping[str, Any], relation: Mapping[str, Any]) -> Edit | Skip:
    target = valid_id(relation.get("event_id"), "$")
    new = mapping(content.get("m.new_content"))
    if target is None or not new:
        return Skip.MALFORMED
    words = _words({**new, PROFILE_KEY: new.get(PROFILE_KEY, content.get(PROFILE_KEY))})
    return words if isinstance(words, Skip) else Edit(target=RemoteId(target), body=words_of(words))


def _reaction(content: Mapping[str, Any]) -> Reaction | Skip:
    relation = mapping(content.get("m.relates_to"))
    target, key = valid_id(relation.get("event_id"), "$"), text(relation.get("key"))
    if target is None or relation.get("rel_type") != "m.annotation" or not key:
        return Skip.MALFORMED
    if key.startswith("mxc://"):  # a picture; its short code is all that words can show
        key = text(content.get("com.beeper.reaction.shortcode")) or text(content.get("shortcode"))
    emoji = one_line(key, MAX_EMOJI_BYTES)
    return Reaction(target=RemoteId(target), emoji=emoji) if emoji else Skip.EMPTY


def _reply_to(content: Mapping[str, Any]) -> RemoteId | None:
    relation = mapping(content.get("m.relates_to"))
    if relation.get("rel_type") == "m.reference":  # the end of a poll answers its beginning
        relation = {"m.in_reply_to": relation}
    if relation.get("rel_type") == "m.thread" and relation.get("is_falling_back") is True:
        return None  # the thread's last message, named only for clients without threads
    target = valid_id(mapping(relation.get("m.in_reply_to")).get("event_id"), "$")
    return None if target is None else RemoteId(target)


def _body(content: Mapping[str, Any]) -> str:
    body = clean(text(content.get("body"))).strip()
    if not body and content.get("format") == "org.matrix.custom.html":
        body = clean(from_html(text(content.get("formatted_body")))).strip()
    if "m.in_reply_to" in mapping(content.get("m.relates_to")):
        body = without_quote(body)
    return cut(_without_name(body, mapping(content.get(PROFILE_KEY))), MAX_BODY_BYTES)


def _without_name(body: str, profile: Mapping[str, Any]) -> str:
    name = clean(text(profile.get("displayname")))
    return body.removeprefix(f"{name}: ") if name and profile.get("has_fallback") is True else body
