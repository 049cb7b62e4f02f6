# SPDX-License-Identifier: GPL-3.0-or-later
"""What people in a room are shown of what becomes of their messages: the bridge's ``progress`` table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bridges.matrix.plain import one_line
from gateway.model import ConfigError, Showing

MAX_MARK_BYTES = 64
LONGEST_WAIT_S = 86_400.0
_KEYS = frozenset({"receipts", "reactions", "notices", "waiting_after_s", "beeper"})


class Stage(StrEnum):
    """How far a message is, all its addresses together."""

    WAITING = "waiting"
    """Not through, and that for a while."""
    SENT = "sent"
    """Every network has it."""
    HEARD = "heard"
    """The same, and a radio neighbour relayed it."""
    DELIVERED = "delivered"
    """The one person it is for acknowledged it."""
    FOLDED = "folded"
    """Somewhere only a digest names it."""
    FAILED = "failed"
    """Somewhere it will not arrive."""


class Notices(StrEnum):
    """Of what the gateway speaks in the room."""

    OFF = "off"
    FAILED = "failed"
    """What failed, expired or was folded."""
    ALL = "all"
    """Every stage; of those that went well only as many as the pace allows."""


REACTIONS: Mapping[Stage, str] = {
    Stage.WAITING: "⏳",
    Stage.SENT: "✅",
    Stage.DELIVERED: "✅",
    Stage.FOLDED: "📦",
    Stage.FAILED: "❌",
}
UNLESS_SAID: Mapping[Stage, str] = {Stage.DELIVERED: REACTIONS[Stage.DELIVERED]}
"""In direct chats alone: that the person has it. Why something failed is a notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the table says, checked."""

    receipts: bool = True
    """Read receipts: every network has what was said up to here."""
    reactions: Mapping[Stage, str] = field(default_factory=lambda: UNLESS_SAID)
    """The emoji put at a message by stage; empty: none."""
    notices: Notices = Notices.FAILED
    waiting_after_s: float = 10.0
    """How old a message must be before it is shown as waiting: what goes well shows nothing."""
    beeper: bool = False
    """Tell Beeper's clients by events of theirs, one or two a message."""

    @classmethod
    def from_table(cls, table: object) -> Shown:
        """Read the raw table; ConfigError names the first key that is wrong and the mend."""
        if not isinstance(table, Mapping):
            raise ConfigError("progress is not a table", key="progress", mend="progress = { reactions = true }")
        for key in table:
            if key not in _KEYS:
                mend = f"one of {', '.join(sorted(_KEYS))}"
                raise ConfigError(f"{key} is not a setting of progress", key=f"progress.{key}", mend=mend)
        return cls(
            receipts=_flag(table, "receipts", default=True),
            reactions=_reactions(table["reactions"]) if "reactions" in table else UNLESS_SAID,
            notices=_notices(table.get("notices", "failed")),
            waiting_after_s=_seconds(table.get("waiting_after_s", 10.0)),
            beeper=_flag(table, "beeper", default=False),
        )

    @property
    def says_failures(self) -> bool:
        """Return whether the room is told in words of what isn't carried."""
        return self.notices is not Notices.OFF

    @property
    def showing(self) -> Showing | None:
        """Return what this takes to be told of; None: nothing."""
        if not (self.receipts or self.reactions or self.notices is not Notices.OFF or self.beeper):
            return None
        is_waiting_shown = Stage.WAITING in self.reactions or self.notices is Notices.ALL or self.beeper
        return Showing(waiting_after_s=self.waiting_after_s if is_waiting_shown else None)


def _flag(table: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = table.get(key, default)
    if isinstance(value, bool):
        return value
    raise ConfigError(f"{key} is neither true nor false", key=f"progress.{key}", mend=f"{key} = true")


def _notices(value: object) -> Notices:
    try:
        return Notices(value if isinstance(value, str) else "")
    except ValueError:
        raise ConfigError(
            f"{value!r} is not a kind of notices",
            key="progress.notices",
            mend='notices = "failed"  # off | failed | all',
        ) from None


def _reactions(value: object) -> Mapping[Stage, str]:
    if isinstance(value, bool):
        return REACTIONS if value else {}
    if not isinstance(value, Mapping):
        raise ConfigError(
            "reactions is neither true, false nor a table",
            key="progress.reactions",
            mend='reactions = { waiting = "⏳", failed = "❌" }',
        )
    marks = {_stage(key): _mark(key, emoji) for key, emoji in value.items()}
    return {stage: emoji for stage, emoji in marks.items() if emoji}


def _stage(key: str) -> Stage:
    try:
        return Stage(key)
    except ValueError:
        mend = f"one of {', '.join(Stage)}"
        raise ConfigError(f"{key} is not a stage", key=f"progress.reactions.{key}", mend=mend) from None


def _mark(key: str, emoji: Any) -> str:
    if isinstance(emoji, str) and len(emoji.encode()) <= MAX_MARK_BYTES and one_line(emoji, MAX_MARK_BYTES) == emoji:
        return emoji
    raise ConfigError(
        f"{key} is not an emoji",
        key=f"progress.reactions.{key}",
        mend=f'{key} = "✅", or "" for none',
    )


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= LONGEST_WAIT_S:
        return float(value)
    raise ConfigError(
        "waiting_after_s is not a number of seconds, at least 1 and at most a day",
        key="progress.waiting_after_s",
        mend="waiting_after_s = 10",
    )
