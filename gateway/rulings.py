# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may what, as it is now: the file's ``[permissions]``, what chats decided beside it, who is muted, what is slow.

Everything that asks who may asks here, so a decision holds from the moment it is kept, and after a restart. Each is
kept with who made it, where and why. What is for all boxes of a community to decide is told to them, and the latest
word of any of them stands: `gateway.moderation` has that half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.journal import Decision, Decisions, Deed
from gateway.model import Clock, Declined, Level, SenderId
from gateway.moderation import Moderation
from gateway.mutes import MUTE, OPERATOR, RADIO_SILENCE, Mute
from gateway.permissions import Layered, Permissions, Rule, is_glob

__all__ = ["MUTE", "OPERATOR", "PERMISSION", "RADIO_SILENCE", "Mute", "Ruling", "Rulings"]

log = structlog.get_logger()

PERMISSION: Final = "permission"
MOST_PATTERN: Final = 255
"""Bytes; as long as a Matrix user id may be."""
MOST_STARS: Final = 4
"""Wildcards of one pattern."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A rule, and whose it is. `by` None: the file's."""

    rule: Rule
    by: SenderId | None = None
    at_ms: int | None = None


class Rulings(Moderation):
    """The live answer. What changes it raises Declined in words, or JournalError when it can't be kept.

    `where` and `why` are for the audit: the conversation it was ordered in, and the reason in words.
    """

    def __init__(self, file: Permissions, decisions: Decisions, clock: Clock) -> None:
        super().__init__(decisions, clock)
        self._layered = Layered(file=file)
        self._made: Mapping[str, Decision] = {}

    async def load(self) -> None:
        """Read what was decided in earlier runs."""
        await self._read_permissions()
        await super().load()

    async def dated_anew(self) -> None:
        """Read the times again: the clock was set, and the journal has followed."""
        await self._read_permissions()
        await super().dated_anew()

    def level_of(self, sender: SenderId) -> Level:
        """Return what this sender may do now."""
        return Level.ADMIN if sender == OPERATOR else self._layered.level_of(sender)

    def rule_of(self, sender: SenderId) -> Rule | None:
        """Return the rule that decides that; None: none does."""
        return self._layered.rule_of(sender)

    def rulings(self) -> tuple[Ruling, ...]:
        """Return the file's rules, then those made in chats with who made them."""
        return tuple(self._ruling(rule) for rule in self._layered.rules())

    def named(self) -> Sequence[SenderId]:
        """Return the ids that rules are about one by one."""
        return [SenderId(rule.pattern) for rule in self._layered.rules() if not is_glob(rule.pattern)]

    @property
    def made_in_chats(self) -> int:
        """How many rules were made in chats."""
        return len(self._made)

    async def allow(
        self, pattern: str, level: Level, *, by: SenderId, where: str = "", why: str = "", what: str = "allow"
    ) -> bool:
        """Let whom the pattern matches do so much from now on; False: it was so already.

        Declined: more than `by` may, an admin by a pattern, or what the file says of that id. `what`: the audit's
        word for it.
        """
        self._check(pattern, level, by)
        name = level.name.lower()
        made = self._made.get(pattern)
        if made is not None and made.value.get("level") == name:
            return False
        deed = self._deed(what, pattern, by, where, why, name)
        await self._decisions.keep(
            Decision(kind=PERMISSION, key=pattern, by=by, at_ms=deed.at_ms, value={"level": name}), deed
        )
        await self._read_permissions()
        log.info("permission_made", pattern=pattern, level=name, by=by)
        return True

    async def forget(self, pattern: str, *, by: SenderId, where: str = "", why: str = "") -> bool:
        """Take back what was allowed in a chat; False: there is no such rule."""
        gone = await self._decisions.drop(PERMISSION, pattern, self._deed("forget", pattern, by, where, why))
        await self._read_permissions()
        if gone:
            log.info("permission_forgotten", pattern=pattern, by=by)
        return gone

    async def note(self, what: str, about: str, *, by: SenderId, where: str) -> None:
        """Keep that something was decided which is kept elsewhere: a box was put out, a radio was set.

        It was done: what can't be kept yet is kept as soon as it can be.
        """
        deed = self._deed(what, about, by, where, "")
        await self._unkept.keep(lambda: self._decisions.note(deed))

    async def make_room(self) -> None:
        """Before something is done that is to be noted. JournalError if too much waits for the journal already."""
        await self._unkept.make_room()

    async def audit(self, before: int | None = None, limit: int = 100) -> Sequence[Deed]:
        """Return who decided what, when, where and why; the latest first."""
        return await self._decisions.audit(before, limit)

    def _check(self, pattern: str, level: Level, by: SenderId) -> None:
        if not pattern.isprintable() or not pattern.strip() or len(pattern.encode()) > MOST_PATTERN:
            raise Declined(
                f"this is neither an id nor a pattern: write up to {MOST_PATTERN} bytes, as in @*:example.org"
            )
        if pattern.count("*") > MOST_STARS:
            raise Declined(f"a pattern may have {MOST_STARS} wildcards at most")
        if level > self.level_of(by):
            own = self.level_of(by).name.lower()
            raise Declined(f"your own permission is {own}: you can't give {level.name.lower()}")
        if level is Level.ADMIN and is_glob(pattern):
            raise Declined("in a chat only one id at a time is made an admin; patterns of admins belong in the file")
        if not self._layered.may_change(pattern):
            raise Declined(f"the file says what {pattern} may, and only the file changes that")

    async def _read_permissions(self) -> None:
        made = {decision.key: decision for decision in await self._decisions.of(PERMISSION)}
        levels = {key: level for key, one in made.items() if (level := _level(one)) is not None}
        self._made = made
        self._layered = Layered(file=self._layered.file, chats=Permissions.of(levels))

    def _ruling(self, rule: Rule) -> Ruling:
        made = self._made.get(rule.pattern) if rule.in_chat else None
        return Ruling(rule=rule) if made is None else Ruling(rule=rule, by=made.by, at_ms=made.at_ms)


def _level(decision: Decision) -> Level | None:
    """Return the level that was decided; None, and said, if this release knows no such level."""
    name = str(decision.value.get("level", "")).upper()
    if name in Level.__members__:
        return Level[name]
    log.warning("permission_unreadable", pattern=decision.key)
    return None
