# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands are for that this bridge knows itself, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridges.matrix.management.command import PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How one command is given, and by whom it may be."""

    form: str
    """Without the prefix."""
    about: str
    who: str


_SAY = "by those with the power to change the room's settings, in the room"
USAGES: Mapping[str, Usage] = {
    "bridge": Usage(form="bridge CHANNEL", about="carry it to and from a channel", who=_SAY),
    "unbridge": Usage(form="unbridge [CHANNEL]", about="end that", who=_SAY),
    "dm": Usage(form="dm NODE [TEXT]", about="a direct chat with one radio", who="anywhere"),
    "nick": Usage(form="nick NAME", about="what you are called on radio", who="anywhere"),
    "space": Usage(
        form="space [CHANNEL, ..]",
        about="gather the bridged rooms in a Space, with a room for these channels",
        who="anywhere",
    ),
    "confirm": Usage(form="confirm", about="yes to what you were asked last, within 5 minutes", who="there"),
}


def help_for(verb: str) -> str:
    """Return what is said of one of our commands; empty if it is none of ours."""
    usage = USAGES.get(verb)
    return f"{PREFIX} {usage.form}: {usage.about} ({usage.who})" if usage else ""


def own_commands() -> str:
    """Return all of ours, for the end of what help tells."""
    width = max(len(usage.form) for usage in USAGES.values())
    lines = {verb: f"  {PREFIX} {usage.form:<{width}} {usage.about}" for verb, usage in USAGES.items()}
    in_room = [lines[verb] for verb, usage in USAGES.items() if usage.who == _SAY]
    others = [lines[verb] for verb, usage in USAGES.items() if usage.who != _SAY]
    return "\n".join(["In a room, by those with the power to change its settings:", *in_room, "Anywhere:", *others])
