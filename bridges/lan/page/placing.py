# SPDX-License-Identifier: GPL-3.0-or-later
"""How a line stands among others: when it was said, whose it is, whether it goes on from the one before. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from bridges.lan.hall import Line
from bridges.lan.page.plain import one_line
from bridges.lan.places import is_direct, nick_of, other_in, person_in
from gateway.model import SenderId, short_hash

TOGETHER_MS = 300_000
"""Lines of one person within this stand under one name."""
HUES = 6
"""Colours of names; `chat.css` has them."""


def places(lines: Iterable[Line], me: str) -> list[str]:
    """Return each line's classes: ``mine``, ``newday``, and ``same`` if the one before is shown to be theirs too.

    What comes late begins no day: it stands among those of the day on which it came.
    """
    found: list[str] = []
    before: Line | None = None
    on = ""
    for line in lines:
        begins = not line.late and day(line.said_ms) != on
        on = day(line.said_ms) if begins or not on else on
        goes_on = not begins and before is not None and is_together(line, before)
        is_mine = bool(me) and line.sender == me
        found.append(" mine" * is_mine + " newday" * begins + " same" * goes_on)
        before = line
    return found


def is_together(line: Line, before: Line) -> bool:
    """Whether a line needs no name of its own."""
    is_theirs = (line.sender, line.name) == (before.sender, before.name)
    return is_theirs and not line.late and not before.late and 0 <= line.said_ms - before.said_ms < TOGETHER_MS


def by(sender: SenderId) -> str:
    """Return what stands for a sender, so that a page needn't show their id."""
    return short_hash("page", sender)[:8]


def at_box(sender: SenderId) -> str:
    """Return at which box's page somebody is, as it stands in their id: ``@hilltop``."""
    return "@" + one_line(sender.rpartition("@")[2], 24)


def toward(line: Line) -> str:
    """Return to whom alone a line was said: a nick, or a node's id; empty: to a whole room."""
    if not is_direct(line.room):
        return ""
    node = other_in(line.room)
    return node if node and line.sender == person_in(line.room) else one_line(nick_of(person_in(line.room)), 24)


def hue(sender: SenderId) -> int:
    """Return the colour of a sender's name."""
    return int(by(sender), 16) % HUES


def clock(said_ms: int) -> str:
    """Return the time of day."""
    return _when(said_ms).strftime("%H:%M")


def day(said_ms: int) -> str:
    """Return the day."""
    return _when(said_ms).date().isoformat()


def iso(said_ms: int) -> str:
    """Return the moment, for programs."""
    return _when(said_ms).isoformat(timespec="seconds")


def _when(said_ms: int) -> datetime:
    """The box's own time: what the clock on its wall shows."""
    try:
        return datetime.fromtimestamp(said_ms / 1000, UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
