# SPDX-License-Identifier: GPL-3.0-or-later
"""Where people talk on the LAN: rooms, and chats with one person at a box's page. Pure."""

from __future__ import annotations

import re

from gateway.model import Address, Capabilities, Content, SenderId, Support

ROOM_BYTES = 12 * 1024
"""Of words in one entry; with who said them, and JSON's escapes, they fit an event of 16 KiB."""
MOST_PLACE_BYTES = 255

_PERSON = re.compile(r"~([^@/\s]+)@([^@/\s]+)\Z")
_CHAT = re.compile(r"(~[^@/\s]+@[^@/\s]+)/(![0-9a-f]{8})\Z")
"""Of one person at a page with one at a radio: ``~ali@hilltop/!a1b2c301``."""
_BOX = re.compile(r"[0-9a-f]{32}\Z")


def person_id(nick: str, box: str) -> SenderId:
    """Return what somebody at a box's page is called everywhere."""
    return SenderId(f"~{nick}@{box}")


def nick_of(person: str) -> str:
    """Return the nick in ``~nick@box``; empty if it isn't one's."""
    found = _PERSON.match(person)
    return found[1] if found else ""


def chat_with(person: str, node: str) -> str:
    """Return the conversation of somebody at a page with one radio node."""
    return f"{person}/{node}"


def other_in(conversation: str) -> str:
    """Return the node that somebody at a page has this chat with; empty if it is none of those."""
    found = _CHAT.match(conversation)
    return found[2] if found else ""


def person_in(conversation: str) -> str:
    """Return whose direct chat it is: that of the person at a page."""
    return conversation.partition("/")[0]


def is_direct(conversation: str) -> bool:
    """Whether this is a chat with one person."""
    return conversation.startswith("~")


def malformed(conversation: str) -> str:
    """Return why a conversation can be none of the LAN's; empty if it can."""
    if is_direct(conversation) and not (_PERSON.match(conversation) or _CHAT.match(conversation)):
        return f"{conversation} is nobody: write ~nick@box"
    if _BOX.match(conversation):
        return f"{conversation} is a box: write a room's name, or ~nick@box"
    if len(conversation.encode("utf-8", "replace")) > MOST_PLACE_BYTES:
        return f"a room's name has at most {MOST_PLACE_BYTES} bytes"
    return ""


def room_for(content: Content, to: Address, is_reply: bool) -> int:
    """Return how many bytes of words one entry holds."""
    del content, to, is_reply
    return ROOM_BYTES


CAPABILITIES = Capabilities(
    room_for=room_for,
    names=Support.NATIVE,
    replies=Support.NATIVE,
    reactions=Support.NATIVE,
    edits=Support.NATIVE,
    redactions=Support.NATIVE,
    locations=Support.NATIVE,
)
