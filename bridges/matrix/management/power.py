# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has the say in a room, by its own rules (room versions 1 to 12). Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridges.matrix.wire import mapping, sequence

CREATOR_LEVEL = 100
"""A creator's where nothing else was ever said: before room version 12."""
STATE_DEFAULT = 50

_OLD = frozenset(str(version) for version in range(1, 12))


@dataclass(frozen=True, slots=True, kw_only=True)
class Powers:
    """The two events that say who may do what in a room; `levels` None: there is no ``m.room.power_levels``."""

    create: Mapping[str, Any] = field(repr=False)
    """The whole ``m.room.create`` event: who sent it matters."""
    levels: Mapping[str, Any] | None = field(default=None, repr=False)
    """The content of ``m.room.power_levels``."""

    def of(self, user_id: str) -> float:
        """Return the user's power level; infinite for the creators of a room of version 12 or later."""
        if self._creators_stand_above and user_id in self._creators:
            return math.inf
        if self.levels is None:
            return CREATOR_LEVEL if user_id in self._creators else 0
        users = mapping(self.levels.get("users"))
        given = _number(users[user_id]) if user_id in users else _number(self.levels.get("users_default", 0))
        return 0 if given is None else given

    def needed_for_state(self, type_: str) -> float:
        """Return the level it takes to send state events of a type; what makes no sense takes more than anyone has."""
        levels = self.levels or {}
        events = mapping(levels.get("events"))
        needed = _number(events[type_] if type_ in events else levels.get("state_default", STATE_DEFAULT))
        return math.inf if needed is None else needed

    def may_send_state(self, user_id: str, type_: str) -> bool:
        """Whether the user, who is in the room, may send state events of a type."""
        return self.of(user_id) >= self.needed_for_state(type_)

    @property
    def _version(self) -> str:
        version = mapping(self.create.get("content")).get("room_version", "1")
        return version if isinstance(version, str) else ""

    @property
    def _creators_stand_above(self) -> bool:
        """Since version 12 (MSC4289), and in its unstable name; what else we don't know follows the older rules."""
        version = self._version
        return "hydra" in version or (version.isdecimal() and version not in _OLD)

    @property
    def _creators(self) -> frozenset[str]:
        """Since version 11 the create event's sender (MSC2175); before, its content named them, the same."""
        content = mapping(self.create.get("content"))
        creators = {self.create.get("sender")}
        if self._creators_stand_above:
            creators.update(user for user in sequence(content.get("additional_creators")) if isinstance(user, str))
        elif isinstance(content.get("creator"), str):
            creators = {content["creator"]}
        return frozenset(user for user in creators if isinstance(user, str))


def _number(value: object) -> float | None:
    """Read a level: an integer, or, before room version 10, anything like one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return math.floor(value) if math.isfinite(value) else None
    if isinstance(value, str):
        try:
            return int(value.strip())
        except ValueError:
            return None
    return None
