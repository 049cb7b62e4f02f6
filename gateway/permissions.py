# SPDX-License-Identifier: GPL-3.0-or-later
"""One answer to "who may": Matrix users and domains, radio nodes and page users, by patterns. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Self

from gateway.model import Level, SenderId

MOST_KNOWN = 4096
"""Senders whose level is kept; past it all are looked up anew."""
_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Who may do what.

    An exact id beats a pattern and a longer pattern beats a shorter one; of two equally long ones the
    first in the file. Whom nothing matches may do nothing.
    """

    exact: Mapping[str, Level] = field(default_factory=dict)
    globs: tuple[tuple[str, Level], ...] = ()
    """Longest first."""
    _compiled: tuple[tuple[re.Pattern[str], Level], ...] = field(init=False, repr=False, compare=False)
    _known: dict[SenderId, Level] = field(init=False, repr=False, compare=False, default_factory=dict)
    """Answers given lately: a sender is asked about more than once a message."""

    def __post_init__(self) -> None:
        compiled = tuple((re.compile(translate(pattern)), level) for pattern, level in self.globs)
        object.__setattr__(self, "_compiled", compiled)

    @classmethod
    def open_to_all(cls) -> Self:
        """Return what holds without a ``[permissions]`` table: everyone may transmit, nobody more."""
        return cls(globs=(("*", Level.TRANSMIT),))

    @classmethod
    def of(cls, table: Mapping[str, Level]) -> Self:
        """Build them from patterns in the order of the file."""
        globs = [(pattern, level) for pattern, level in table.items() if _is_glob(pattern)]
        exact = {pattern: level for pattern, level in table.items() if not _is_glob(pattern)}
        return cls(exact=exact, globs=tuple(sorted(globs, key=lambda glob: -len(glob[0]))))

    def level_of(self, sender: SenderId) -> Level:
        """Return what this sender may do."""
        level = self._known.get(sender)
        if level is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            level = self._known[sender] = self._look_up(sender)
        return level

    def _look_up(self, sender: SenderId) -> Level:
        exact = self.exact.get(sender)
        if exact is not None:
            return exact
        return next((level for pattern, level in self._compiled if pattern.match(sender)), Level.NONE)


def _is_glob(pattern: str) -> bool:
    return not _GLOB.isdisjoint(pattern)
