# SPDX-License-Identifier: GPL-3.0-or-later
"""Which events are commands, and what they wish for. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bridges.matrix.convert import PROFILE_KEY
from bridges.matrix.plain import cut, one_line, valid_id
from bridges.matrix.wire import mapping, text
from gateway.model import Message, SenderId, Text

PREFIX = "!mesh"
MAX_COMMAND_BYTES = 4_096
MAX_NAME_BYTES = 100
"""Of a channel, room or node, as somebody writes it."""

_PREFIXED = re.compile(r"!mesh(?:\s+|\Z)", re.IGNORECASE)
_QUOTED = re.compile(r'["“„]([^"“”„]+)["”“]\s*(.*)\Z', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command, as somebody gave it in a room."""

    event_id: str
    room_id: str
    sender: SenderId
    sender_name: str
    words: str = field(repr=False)
    """Without the prefix."""
    thread: str | None = None
    """The thread it was said in, by its first event."""
    is_late: bool = False
    """Whether it could be read only long after it was given: then it isn't done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """Let this room share its messages with that conversation."""

    there: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbridge:
    """End that; `there` empty: all of it."""

    there: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dm:
    """Open a direct chat with a node, and say something there."""

    words: str = field(repr=False)
    """The node's name or id, in quotation marks or not, and then what to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nick:
    """Be called so on radio; empty: by the display name again."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherSpace:
    """Gather the bridged rooms in a Space; make rooms for these channels too."""

    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Yes to what was asked for before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Help:
    """What can be asked for; the desk knows the rest of it. `about`: of one command only."""

    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Nothing that this bridge knows: the desk's."""


Wish = Bridge | Unbridge | Dm | Nick | GatherSpace | Confirm | Help | Other

_NAMING: Mapping[str, Callable[[str], Wish]] = {
    "bridge": lambda line: Bridge(there=line),
    "unbridge": lambda line: Unbridge(there=line),
    "nick": lambda line: Nick(name=line),
}


def command_in(event: object, message: Message, room_id: str, *, all_are: bool) -> Command | None:
    """Return the command that a message gives; None if it gives none.

    `all_are`: what is said in this room is all for the gateway, with the prefix or without. Only plain
    words give commands: no edit, no attachment, no ``/me``, and nothing that was said under another's name,
    for then its sender isn't who asks.
    """
    content = mapping(mapping(event).get("content"))
    said = message.content
    if not isinstance(said, Text) or content.get("msgtype") != "m.text" or PROFILE_KEY in content:
        return None
    body = said.body.strip()
    found = _PREFIXED.match(body)
    if found is None and not all_are:
        return None
    return Command(
        event_id=text(message.remote_id),
        room_id=room_id,
        sender=message.sender.id,
        sender_name=message.sender.name,
        words=body[found.end() :] if found else body,
        thread=_thread(content.get("m.relates_to")),
    )


def is_too_long(command: Command) -> bool:
    """Whether it is longer than any that makes sense."""
    return len(command.words.encode()) > MAX_COMMAND_BYTES


def wish_of(words: str) -> Wish:
    """Return what the words ask for, of any shape."""
    first, _, rest = words.strip().partition("\n")
    verb, _, line = first.partition(" ")
    verb, line = verb.lower(), one_line(line, MAX_NAME_BYTES)
    if verb == "dm":
        return Dm(words=cut(words.strip()[len(verb) :].strip(), MAX_COMMAND_BYTES))
    if verb in ("confirm", "yes"):
        return Other() if line or rest else Confirm()
    if verb == "space":
        return GatherSpace(channels=_listed(line))
    if verb in ("", "help"):
        return Help(about=line)
    return _NAMING[verb](line) if verb in _NAMING else Other()


def whom_and_what(words: str) -> tuple[str, str]:
    """Split a ``dm``'s words into whom it names first and what it says: by quotation marks, else by the first space."""
    if quoted := _QUOTED.match(words):
        return one_line(quoted[1], MAX_NAME_BYTES), quoted[2].strip()
    whom, *what = words.split(None, 1) or [""]
    return one_line(whom, MAX_NAME_BYTES), what[0].strip() if what else ""


def _listed(line: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in line.split(",") if name.strip()))


def _thread(relation: object) -> str | None:
    found = mapping(relation)
    return valid_id(found.get("event_id"), "$") if found.get("rel_type") == "m.thread" else None
