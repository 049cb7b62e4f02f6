# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message looks like on a network that can do less: pure.

Lengths are UTF-8 bytes. A text is cut between words where one ends in the last quarter of a part,
else between characters as people see them, never inside one: marks, joiners and modifiers stay
with what they belong to, unless a single such character alone is longer than a part.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from gateway.model import (
    Address,
    Capabilities,
    Edit,
    Lane,
    Location,
    Message,
    Reaction,
    Redaction,
    Sender,
    State,
    Support,
    Text,
    words_of,
)

EMERGENCY_MARK = "\U0001f6a8"
"""A police car's light leads the text of an emergency, on every network."""
ZERO_WIDTH_JOINER = "\u200d"
MOST_PARTS = 9
_VIRAMA = 9
"""Its combining class."""
_EXTENDING = frozenset("\u200c\u0e33\u0eb3")
"""A non-joiner, and the Thai and Lao vowels that are letters to Unicode; Hangul's vowels and finals are a range."""
_MARK = re.compile(r"/(?:[0-9a-f]{4}){1,2}\Z")
"""What a bridge puts behind a name that two people have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """This network can't carry it; the reason is for the sender."""

    reason: str
    state: State = State.FAILED
    """How its delivery ends: `cancelled` where the network has no such thing."""


def fit(message: Message, to: Address, capabilities: Capabilities) -> tuple[Message, ...] | Unfit:
    """Return the parts to send, in order. Each is the message with that part's content and reply.

    The first part keeps the reply; the sender's name leads the first part where the network shows
    only the gateway's own, and before it the mark of an emergency.
    """
    content = message.content
    match content:
        case Text():
            return _fit_text(message, to, capabilities)
        case Reaction():
            words = f"{content.emoji} (reaction)"
            return _fit_relation(message, content, to, capabilities, support=capabilities.reactions, words=words)
        case Edit():
            words = f"*corrected: {content.body}"
            return _fit_relation(message, content, to, capabilities, support=capabilities.edits, words=words)
        case Redaction():
            words = "took a message back"
            return _fit_relation(message, content, to, capabilities, support=capabilities.redactions, words=words)
        case Location():
            return _fit_location(message, content, to, capabilities)
        case _:
            assert_never(content)


def _fit_relation(
    message: Message,
    content: Reaction | Edit | Redaction,
    to: Address,
    capabilities: Capabilities,
    *,
    support: Support,
    words: str,
) -> tuple[Message, ...] | Unfit:
    if support is Support.NATIVE:
        room = capabilities.room_for(content, to, False)
        return (
            (message,) if len(words_of(content).encode()) <= room else Unfit(reason=f"the {content.kind} is too long")
        )
    if support is Support.TEXT:
        said = replace(message, content=Text(body=words), reply_to=content.target)
        return _fit_text(said, to, capabilities)
    return Unfit(reason=f"this network has no {content.kind}s", state=State.CANCELLED)


def _fit_location(
    message: Message, place: Location, to: Address, capabilities: Capabilities
) -> tuple[Message, ...] | Unfit:
    if capabilities.locations is Support.DROP:
        return Unfit(reason="this network has no locations", state=State.CANCELLED)
    is_call = message.lane is Lane.EMERGENCY and not place.words.startswith(EMERGENCY_MARK)
    said = replace(place, words=f"{EMERGENCY_MARK} {place.words}".strip()) if is_call else place
    is_small = len(said.words.encode()) <= capabilities.room_for(said, to, message.reply_to is not None)
    if capabilities.locations is Support.NATIVE and is_small:
        return (replace(message, content=said) if is_call else message,)
    return _fit_text(replace(message, content=Text(body=str(place))), to, capabilities)


def _fit_text(message: Message, to: Address, capabilities: Capabilities) -> tuple[Message, ...] | Unfit:
    content = message.content
    if not isinstance(content, Text):
        raise TypeError(content)
    body = capabilities.shorten(content.body).strip()
    if not body:
        return Unfit(reason="there is no text in it")
    reply_to = None if capabilities.replies is Support.DROP else message.reply_to
    if capabilities.names is Support.NATIVE:
        lead, emote = "", content.emote
    else:
        name = short_name(message.sender, capabilities.max_name_bytes)
        lead, emote = (f"* {name} " if content.emote else f"{name}: "), False
    if message.lane is Lane.EMERGENCY and not body.startswith(EMERGENCY_MARK):
        lead = f"{EMERGENCY_MARK} {lead}"
    first = capabilities.room_for(content, to, reply_to is not None)
    later = capabilities.room_for(content, to, False)
    cut = partial(split, lead=lead, first=first, later=later, most=capabilities.max_parts)
    parts = _with_link(body, content.link, cut) or cut(body)
    if parts is None:
        most = min(capabilities.max_parts, MOST_PARTS)
        return Unfit(reason=f"too long: more than {most} part{'s' if most > 1 else ''} of {later} bytes")
    if parts == (content.body,) and not content.link and emote == content.emote and reply_to == message.reply_to:
        return (message,)
    return tuple(
        replace(message, content=Text(body=part, emote=emote), reply_to=reply_to if index == 0 else None)
        for index, part in enumerate(parts)
    )


def _with_link(body: str, link: str, cut: Callable[[str], tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """Return the parts with the link at their end; None where there is none, or no room for it in one piece."""
    parts = cut(f"{body} {link}") if link else None
    return parts if parts and any(link in part for part in parts) else None


def short_name(sender: Sender, max_bytes: int) -> str:
    """Return the sender's name on one line, in at most this many bytes, cut between characters.

    Without colons that end a word: what stands before the first one is who speaks. A mark that tells two of one
    name apart stays.
    """
    words = (word.rstrip(":") for word in sender.name.split())
    name = " ".join(filter(None, words)) or sender.id
    found = _MARK.search(name) if len(name.encode()) > max_bytes else None
    mark = found[0] if found and len(found[0]) < max_bytes else ""
    return (take(name.removesuffix(mark), max_bytes - len(mark))[0].strip() or "?") + mark


def take(text: str, room: int) -> tuple[str, str]:
    """Return the longest head of whole visible characters within `room` bytes, and the rest."""
    end = used = 0
    for cluster in _clusters(text):
        size = len(cluster.encode())
        if used + size > room:
            break
        used += size
        end += len(cluster)
    if end == 0:
        return _take_characters(text, room)
    return text[:end], text[end:]


def split(body: str, *, lead: str, first: int, later: int, most: int) -> tuple[str, ...] | None:
    """Cut `body` into at most `most` parts, marked `` (1/3)`` at their end if there are several.

    `lead` begins the first. `first` and `later` are bytes a part may have. None: it takes more parts.
    White space at a cut is given up; everything else is in the parts, in order.
    """
    size = len((lead + body).encode())
    if size <= first:
        return (lead + body,)
    if size > first + later * (min(most, MOST_PARTS) - 1):
        return None  # before looking at every character of a very long text
    for count in range(2, min(most, MOST_PARTS) + 1):
        parts = _cut(body, lead, first, later, count)
        if parts is not None:
            return parts
    return None


def _cut(body: str, lead: str, first: int, later: int, count: int) -> tuple[str, ...] | None:
    parts: list[str] = []
    rest = body
    for number in range(1, count + 1):
        mark = f" ({number}/{count})"
        start = lead if number == 1 else ""
        room = (first if number == 1 else later) - len((start + mark).encode())
        if room < 1:
            return None
        taken, rest = _take_words(rest, room)
        if not taken:
            return None
        parts.append(f"{start}{taken}{mark}")
        if not rest:
            return tuple(parts) if number == count else None
    return None


def _take_words(text: str, room: int) -> tuple[str, str]:
    taken, rest = take(text, room)
    if rest and not rest[0].isspace():
        cut = max((index for index, char in enumerate(taken) if char.isspace()), default=-1)
        if cut >= 0 and len(taken[:cut].encode()) >= room * 3 // 4:
            taken, rest = taken[:cut], taken[cut:] + rest
    return taken.rstrip(), rest.lstrip()


def _take_characters(text: str, room: int) -> tuple[str, str]:
    """Cut inside a cluster that alone is longer than the room, but never inside a character."""
    head = text.encode()[: max(room, 0)].decode("utf-8", "ignore")
    return head, text[len(head) :]


def _clusters(text: str) -> Iterator[str]:
    """Yield what people see as one character: a simplification of UAX #29 that needs no tables."""
    start = 0
    for index in range(1, len(text)):
        if not _continues(text, start, index):
            yield text[start:index]
            start = index
    if text:
        yield text[start:]


def _continues(text: str, start: int, index: int) -> bool:
    char, before = text[index], text[index - 1]
    if before == "\r" and char == "\n":
        return True
    if ZERO_WIDTH_JOINER in {char, before}:
        return True
    if _is_regional(char) and _is_regional(before):
        return (index - start) % 2 == 1
    if unicodedata.combining(before) == _VIRAMA and unicodedata.category(char) == "Lo":
        return True  # it joins two consonants to one shape
    return unicodedata.category(char) in {"Mn", "Me", "Mc"} or _modifies(char)


def _is_regional(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _modifies(char: str) -> bool:
    """Variation selectors are marks already; skin tones, tag characters and some letters are not."""
    is_emojis = "\U0001f3fb" <= char <= "\U0001f3ff" or "\U000e0020" <= char <= "\U000e007f"
    return is_emojis or char in _EXTENDING or "\u1160" <= char <= "\u11ff"
