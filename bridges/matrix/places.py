# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a conversation is, as far as is known."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridges.matrix.client import Refused
from bridges.matrix.plain import valid_id
from gateway.model import NotThere


def malformed(conversation: str) -> str:
    """Return why a conversation can be no room; empty if it can. An alias may be in any script. Pure.

    A user (``@...:server``) stands for the direct chat with them.
    """
    is_alias = conversation.startswith(("#", "@")) and ":" in conversation
    if is_alias or valid_id(conversation, "!"):
        return ""
    return f"{conversation!r} is neither a room id (!...) nor an alias (#...:server)"


@dataclass(slots=True)
class Place:
    """One conversation, as it is spelled: where it is, or why it isn't there."""

    room_id: str | None = None
    trouble: str = "not looked for yet"
    looked_at_s: float | None = None
    former: list[str] = field(default_factory=list)
    """Rooms that this one replaced: what was said there is still this conversation's."""

    @property
    def is_new(self) -> bool:
        """Whether it was never looked for."""
        return self.room_id is None and self.looked_at_s is None

    def has(self, room_id: str) -> bool:
        """Whether the room is this conversation's, or was."""
        return self.room_id == room_id or room_id in self.former


def words(error: Refused | NotThere) -> str:
    """Return why a room isn't there, for people."""
    known = {
        "M_NOT_FOUND": "there is no such room or alias",
        "M_FORBIDDEN": "not in the room and not allowed to join: invite us",
    }
    return known.get(error.errcode, str(error)) if isinstance(error, Refused) else str(error)
