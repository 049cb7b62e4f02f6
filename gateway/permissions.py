# SPDX-License-Identifier: GPL-3.0-or-later
"""One answer to "who may": Matrix users and domains, radio nodes and page users, by patterns. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import translate
from typing import Self

from gateway.model import Level, SenderId

MOST_KNOWN = 4096
"""Senders whose level is kept; past it all are looked up anew."""
UNPROVED = "~"
"""Begins the ids of those whom no network vouches for: whoever is at a chat page calls themselves what they like."""
_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Who may do what, by one table.

    An exact id beats a pattern and a longer pattern beats a shorter one; of two equally long ones the
    first in the file. Whom nothing matches may do nothing. Those whom no network vouches for may no more than read
    by a pattern that isn't about them: ``"*" = "transmit"`` lets them on no radio, ``"~*" = "transmit"`` does.
    """

    exact: Mapping[str, Level] = field(default_factory=dict)
    globs: tuple[tuple[str, Level], ...] = ()
    """Longest first."""
    _compiled: tuple[tuple[re.Pattern[str], str, Level], ...] = field(init=False, repr=False, compare=False)
    _known: dict[SenderId, Level] = field(init=False, repr=False, compare=False, default_factory=dict)
    """Answers given lately: a sender is asked about more than once a message."""

    def __post_init__(self) -> None:
        compiled = tuple((re.compile(translate(pattern)), pattern, level) for pattern, level in self.globs)
        object.__setattr__(self, "_compiled", compiled)

    @classmethod
    def open_to_all(cls) -> Self:
        """Return what holds without a ``[permissions]`` table: everyone may transmit, nobody more."""
        return cls(globs=(("*", Level.TRANSMIT),))

    @classmethod
    def of(cls, table: Mapping[str, Level]) -> Self:
        """Build them from patterns in the order of the file."""
        globs = [(pattern, level) for pattern, level in table.items() if is_glob(pattern)]
        exact = {pattern: level for pattern, level in table.items() if not is_glob(pattern)}
        return cls(exact=exact, globs=tuple(sorted(globs, key=lambda glob: -len(glob[0]))))

    def level_of(self, sender: SenderId) -> Level:
        """Return what this sender may do."""
        level = self._known.get(sender)
        if level is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            level = self._known[sender] = self._look_up(sender)
        return level

    def rule_of(self, sender: SenderId) -> Rule | None:
        """Return the rule that decides what this sender may do; None: none does, and it is nothing."""
        exact = self.exact.get(sender)
        return Rule(pattern=sender, level=exact) if exact is not None else self.glob_of(sender)

    def glob_of(self, sender: SenderId) -> Rule | None:
        """Return the pattern that decides for this sender, exact ids aside, with what it gives them."""
        found = ((pattern, level) for compiled, pattern, level in self._compiled if compiled.match(sender))
        return next((Rule(pattern=pattern, level=_given(sender, pattern, level)) for pattern, level in found), None)

    def rules(self) -> tuple[Rule, ...]:
        """Return all of them: those that beat others first."""
        return tuple(Rule(pattern=pattern, level=level) for pattern, level in (*self.exact.items(), *self.globs))

    def _look_up(self, sender: SenderId) -> Level:
        rule = self.rule_of(sender)
        return Level.NONE if rule is None else rule.level


def _given(sender: SenderId, pattern: str, level: Level) -> Level:
    is_meant = pattern.startswith(UNPROVED) or not sender.startswith(UNPROVED)
    return level if is_meant else min(level, Level.READ)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who, and what they may."""

    pattern: str
    level: Level
    in_chat: bool = False
    """It was made in a chat; else it is the file's."""
    overruled: bool = False
    """Another rule decides in its place, for whomever it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layered:
    """The file's permissions, with what was changed in chats laid over them.

    Two things no chat changes: an exact id of the file stays what the file says, and whom the file makes
    an admin, by a pattern too, stays one: so the file's owner can't be locked out. Beside that a chat's exact
    id beats every pattern, a longer pattern a shorter one, and of two equally long ones the chat's wins.
    """

    file: Permissions
    chats: Permissions = field(default_factory=Permissions)
    _counting: Permissions = field(init=False, repr=False, compare=False)
    """The chats' patterns but for those that are admins in the file."""
    _known: dict[SenderId, Level] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        globs = tuple(glob for glob in self.chats.globs if self.may_change(glob[0]))
        object.__setattr__(self, "_counting", Permissions(globs=globs))

    def level_of(self, sender: SenderId) -> Level:
        """Return what this sender may do."""
        if not (self.chats.exact or self.chats.globs):
            return self.file.level_of(sender)
        level = self._known.get(sender)
        if level is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            rule = self.rule_of(sender)
            level = self._known[sender] = Level.NONE if rule is None else rule.level
        return level

    def rule_of(self, sender: SenderId) -> Rule | None:
        """Return the rule that decides what this sender may do; None: none does, and it is nothing."""
        file = self.file.rule_of(sender)
        if sender in self.file.exact or (file is not None and file.level is Level.ADMIN):
            return file
        exact = self.chats.exact.get(sender)
        if exact is not None:
            return Rule(pattern=sender, level=exact, in_chat=True)
        chats = self._counting.glob_of(sender)
        if chats is None or (file is not None and len(file.pattern) > len(chats.pattern)):
            return file
        return replace(chats, in_chat=True)

    def rules(self) -> tuple[Rule, ...]:
        """Return the file's rules, then those made in chats; which of them another one overrules is said."""
        mine = (replace(rule, overruled=self._is_replaced(rule)) for rule in self.file.rules())
        theirs = (
            replace(rule, in_chat=True, overruled=not self.may_change(rule.pattern)) for rule in self.chats.rules()
        )
        return (*mine, *theirs)

    def _is_replaced(self, rule: Rule) -> bool:
        """Whether a chat has the very pattern of this rule of the file's, and may change it."""
        return rule.level is not Level.ADMIN and rule.pattern in dict(self.chats.globs)

    def may_change(self, pattern: str) -> bool:
        """Whether a chat's rule with this pattern would count: the file says nothing that it can't change."""
        if is_glob(pattern):
            return dict(self.file.globs).get(pattern) is not Level.ADMIN
        return pattern not in self.file.exact and self.file.level_of(SenderId(pattern)) is not Level.ADMIN


def is_glob(pattern: str) -> bool:
    """Whether it may match more than one id."""
    return not _GLOB.isdisjoint(pattern)
