# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages to events. Pure."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, assert_never

from bridges.matrix.convert import ID_KEY, ORIGIN_KEY, PROFILE_KEY
from bridges.matrix.emoji import as_key
from bridges.matrix.geo import place_keys, place_uri
from bridges.matrix.lateness import said_at
from bridges.matrix.plain import clean, cut, one_line
from gateway.model import Address, Content, Edit, Location, Message, Reaction, Redaction, RemoteId, Text, Topic

MAX_CONTENT_BYTES = 60_000
"""Of the 65,536 an event may have: the rest is for what the homeserver adds."""
SAID_KEY = "org.crossband.said_ms"
"""Of words that begin with their time: the same in milliseconds, for programs."""
ROOM_BYTES = 28_672
"""Any text this long fits, were every character of it a quotation mark that JSON doubles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the room adds to a message."""

    thread: str = ""
    """The first event of the thread that what it answers is in."""
    mentions: Sequence[str] = ()
    """User ids of those whom it speaks to."""


NOTHING = Around()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What to send: an event of this type, or, where `redacts` is set, a redaction."""

    type: str
    content: dict[str, Any] = field(repr=False)
    redacts: RemoteId | None = None


def room_for(content: Content, to: Address, is_reply: bool) -> int:
    """Return how many bytes of words one event holds; an edit and a place say them twice."""
    del to, is_reply
    return ROOM_BYTES // 2 if isinstance(content, Edit | Location) else ROOM_BYTES


def from_message(
    message: Message, key: str, now_ms: int, zone: tzinfo | None = None, *, around: Around = NOTHING
) -> Event:
    """Return the event that says the message under its sender's name, marked as ours; words that come late say when.

    So the same message may be another event a minute later: what is the same is its key.
    """
    mark = marked(key, str(message.origin))
    match message.content:
        case Text():
            late = said_at(message.said_ms, now_ms, zone)
            return Event(type="m.room.message", content=_text(message, message.content, late, around) | mark)
        case Edit():
            return Event(type="m.room.message", content=_edit(message, message.content) | mark)
        case Reaction(target=target, emoji=emoji):
            relation = {"rel_type": "m.annotation", "event_id": target, "key": as_key(clean(emoji))}
            return Event(type="m.reaction", content={"m.relates_to": relation} | mark)
        case Redaction(target=target):
            return Event(type="m.room.redaction", content=mark, redacts=target)
        case Location():
            late = said_at(message.said_ms, now_ms, zone)
            return Event(type="m.room.message", content=_place(message, message.content, late) | mark)
        case _ as other:
            assert_never(other)


def notice(words: str) -> dict[str, Any]:
    """Return the content of a notice: what bots say, and no bridge carries on."""
    return {"msgtype": "m.notice", "body": words, "m.mentions": {}}


def answering(event_id: str, root: str) -> dict[str, Any]:
    """Return the relation that answers an event, in the thread that began with `root` unless that is empty."""
    reply = {"m.in_reply_to": {"event_id": event_id}}
    return reply if not root else {"rel_type": "m.thread", "event_id": root, "is_falling_back": False, **reply}


def marked(key: str, origin: str) -> dict[str, Any]:
    """Return what tells other gateways that an event is a bridge's, and us which one it is."""
    return {ID_KEY: key, ORIGIN_KEY: origin}


def _text(message: Message, said: Text, late: str, around: Around) -> dict[str, Any]:
    body = f"[{late}] {clean(said.body)}" if late else clean(said.body)
    content = _under_name(message, body, _msgtype(message, said))
    if around.mentions:
        content["m.mentions"] = {"user_ids": list(around.mentions)}
    if message.reply_to is not None:
        content["m.relates_to"] = answering(message.reply_to, around.thread)
    if late:
        content[SAID_KEY] = message.said_ms
    return _fitting(content)


def _msgtype(message: Message, said: Text) -> str:
    if message.topic is Topic.TELEMETRY:
        return "m.notice"  # from no person: it wakes nobody, and other gateways in the room leave it alone
    return "m.emote" if said.emote else "m.text"


def _place(message: Message, place: Location, late: str) -> dict[str, Any]:
    words = ": ".join(filter(None, (clean(place.words), place_uri(place))))
    content = _under_name(message, f"[{late}] {words}" if late else words, "m.location")
    # Some clients show no body at a map, and no profile: whose place it is must be in the description too.
    described = ": ".join(filter(None, (one_line(message.sender.name), clean(place.words))))
    content |= place_keys(place, described, message.said_ms)
    if message.reply_to is not None:
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": message.reply_to}}
    if late:
        content[SAID_KEY] = message.said_ms
    return {key: value for key, value in content.items() if key not in ("format", "formatted_body")}


def _edit(message: Message, edit: Edit) -> dict[str, Any]:
    new = _under_name(message, clean(edit.body), "m.text")
    content = _fitting(new | {"m.new_content": new})
    content["m.new_content"] = {key: value for key, value in new.items() if key in content}
    content["body"] = f"* {new['body']}"
    content.pop("formatted_body", None)  # the outer body is for clients without edits: words do
    content.pop("format", None)
    content["m.relates_to"] = {"rel_type": "m.replace", "event_id": edit.target}
    return content


def _under_name(message: Message, body: str, msgtype: str) -> dict[str, Any]:
    # m.mentions always: without it some clients look for names to ping in the text.
    content: dict[str, Any] = {"msgtype": msgtype, "body": body, "m.mentions": {}}
    name = one_line(message.sender.name)
    if not name:
        return content
    shown = html.escape(body).replace("\n", "<br>")
    profile = {"id": cut(one_line(message.sender.id), 255), "displayname": name, "has_fallback": True}
    return content | {
        "body": f"{name}: {body}",
        "format": "org.matrix.custom.html",
        "formatted_body": f"<strong data-mx-profile-fallback>{html.escape(name)}: </strong>{shown}",
        PROFILE_KEY: profile,
    }


def _fitting(content: dict[str, Any]) -> dict[str, Any]:
    """Leave the formatted body out where it would make the event too large: the body says the same."""
    if len(json.dumps(content, ensure_ascii=False).encode()) <= MAX_CONTENT_BYTES:
        return content
    return {key: value for key, value in content.items() if key not in ("format", "formatted_body")}
