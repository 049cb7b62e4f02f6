# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the words of a room are said under elsewhere: a chosen name, else the room's, told apart where two are alike."""

from __future__ import annotations

from pathlib import Path

from bridges.matrix.members import Members
from bridges.matrix.names import masked, of_their_own, told_apart
from bridges.matrix.nicks import Nicks


class People:
    """The people in our rooms, by name."""

    def __init__(self, members: Members, file: Path) -> None:
        """`file`: where chosen names are kept."""
        self._members = members
        self.nicks = Nicks(file, taken=self._taken)

    def name(self, room_id: str, user_id: str) -> str:
        """Return what a user is called: as they chose, else as in the room; empty if unknown."""
        return self.nicks.of(user_id) or masked(self._members.name(room_id, user_id))

    def on_air(self, room_id: str, user_id: str, name: str) -> str:
        """Return the name to say somebody's words under, `name` being what they are called."""
        name = of_their_own(name)
        alike = {other for other in self._members.alike(room_id, name) if not self.nicks.of(other)}
        holder = self.nicks.holder(name)
        if holder and self._members.name(room_id, holder):
            alike.add(holder)
        return told_apart(user_id, name, alike - {user_id})

    def _taken(self, user_id: str) -> list[str]:
        return [name for other, name in self._members.others(user_id) if not self.nicks.of(other)]
