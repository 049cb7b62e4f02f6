# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may what, as it is now: the file's ``[permissions]``, what was decided in chats beside it, and who is muted.

Everything that asks who may asks here, so a decision holds from the moment it is kept, and after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from gateway.ages import in_words
from gateway.journal import Decision, Decisions
from gateway.model import NEVER_SET_MS, Clock, Declined, Level, SenderId
from gateway.permissions import Layered, Permissions, Rule, is_glob

log = structlog.get_logger()

PERMISSION: Final = "permission"
MUTE: Final = "mute"
RADIO_SILENCE: Final = SenderId("radio silence")
"""In place of a sender, for nobody's id has a space: nothing goes to a network in clear but emergencies."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """Somebody whose messages are not carried."""

    sender: SenderId
    by: SenderId
    at_ms: int
    for_s: int | None = None
    """None: until it is taken back."""
    ends: float | None = None
    """When it ends by the clock that only grows: a wall clock that is set doesn't end it."""

    def left_s(self, now: float) -> float | None:
        """Return for how long it still holds; None: for good."""
        return None if self.ends is None else self.ends - now


class Rulings:
    """The live answer. What changes it raises Declined in words, or JournalError when it can't be kept."""

    def __init__(self, file: Permissions, decisions: Decisions, clock: Clock) -> None:
        self._layered = Layered(file=file)
        self._decisions = decisions
        self._clock = clock
        self._made: Mapping[str, Decision] = {}
        self._mutes: Mapping[SenderId, Mute] = {}

    async def load(self) -> None:
        """Read what was decided in earlier runs."""
        await self._read_permissions()
        await self._date_mutes()
        await self._read_mutes()
        await self._drop_what_ended()

    async def dated_anew(self) -> None:
        """Read the times again: the clock was set, and the journal has followed."""
        await self._read_permissions()
        await self._read_mutes()

    # Who may.

    def level_of(self, sender: SenderId) -> Level:
        """Return what this sender may do now."""
        return self._layered.level_of(sender)

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

    async def allow(self, pattern: str, level: Level, *, by: SenderId) -> bool:
        """Let whom the pattern matches do so much from now on; False: it was so already.

        Declined: more than `by` may, an admin by a pattern, or what the file says of that id.
        """
        self._check(pattern, level, by)
        made = self._made.get(pattern)
        if made is not None and made.value.get("level") == level.name.lower():
            return False
        value = {"level": level.name.lower()}
        await self._decisions.keep(
            Decision(kind=PERMISSION, key=pattern, by=by, at_ms=self._clock.now_ms(), value=value)
        )
        await self._read_permissions()
        log.info("permission_made", pattern=pattern, level=level.name.lower(), by=by)
        return True

    async def forget(self, pattern: str, *, by: SenderId) -> bool:
        """Take back what was allowed in a chat; False: there is no such rule."""
        gone = await self._decisions.drop(PERMISSION, pattern)
        await self._read_permissions()
        if gone:
            log.info("permission_forgotten", pattern=pattern, by=by)
        return gone

    # Who is muted.

    def mute_of(self, sender: SenderId) -> Mute | None:
        """Return how this sender is muted; None: they aren't, or no more."""
        mute = self._mutes.get(sender)
        if mute is None or (mute.ends is not None and mute.ends <= self._clock.monotonic()):
            return None
        return mute

    def muted(self, sender: SenderId) -> str:
        """Return in words why this sender's messages are not carried; empty: they are."""
        if not self._mutes:
            return ""
        mute = self.mute_of(sender)
        if mute is None:
            return ""
        left_s = mute.left_s(self._clock.monotonic())
        return "the sender is muted" + ("" if left_s is None else f", for another {in_words(left_s)}")

    def silenced(self) -> str:
        """Return in words why nothing goes on radio but emergencies; empty: it does."""
        mute = self.mute_of(RADIO_SILENCE)
        if mute is None:
            return ""
        left_s = mute.left_s(self._clock.monotonic())
        return f"radio silence, by {mute.by}" + ("" if left_s is None else f", for another {in_words(left_s)}")

    def mutes(self) -> Sequence[Mute]:
        """Return those that hold now, the oldest first."""
        return [mute for mute in self._mutes.values() if self.mute_of(mute.sender) is not None]

    async def mute(self, sender: SenderId, *, for_s: int | None, by: SenderId) -> Mute:
        """Carry nothing of this sender's any more; in place of an earlier mute of theirs.

        Declined: `sender` is `by`, or may more than they.
        """
        if sender == by:
            raise Declined("you can't mute yourself: just say nothing")
        if self.level_of(sender) > self.level_of(by):
            raise Declined(f"{sender} may more than you: you can't mute them")
        value = {} if for_s is None else {"for_s": for_s}
        await self._drop_what_ended()
        await self._decisions.keep(
            Decision(kind=MUTE, key=sender, by=by, at_ms=self._clock.now_ms(), value=value),
        )
        await self._read_mutes()
        log.info("sender_muted", sender=sender, for_s=for_s, by=by)
        return self._mutes[sender]

    async def unmute(self, sender: SenderId, *, by: SenderId) -> bool:
        """Carry what they say again; False: they are not muted. Declined to those who are, but for admins."""
        if self.mute_of(sender) is None:
            return False
        if sender == by and self.level_of(by) is not Level.ADMIN:
            raise Declined("you are muted: somebody else must take that back")
        await self._decisions.drop(MUTE, sender)
        await self._read_mutes()
        log.info("sender_unmuted", sender=sender, by=by)
        return True

    # How that is kept.

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

    async def _drop_what_ended(self) -> None:
        for mute in self._mutes.values():
            if self.mute_of(mute.sender) is None:
                await self._decisions.drop(MUTE, mute.sender)

    async def _date_mutes(self) -> None:
        """Let those made before the clock was ever set begin now: nobody knows when they did."""
        now_ms = self._clock.now_ms()
        for decision in await self._decisions.of(MUTE):
            if decision.at_ms < NEVER_SET_MS <= now_ms:
                await self._decisions.keep(replace(decision, at_ms=now_ms))

    async def _read_mutes(self) -> None:
        known = self._mutes
        found = [self._mute(decision) for decision in await self._decisions.of(MUTE)]
        # One that was known goes on ending when it did, whatever the wall clock says meanwhile.
        self._mutes = {one.sender: known[one.sender] if _is_same(known.get(one.sender), one) else one for one in found}

    def _mute(self, decision: Decision) -> Mute:
        for_s = decision.value.get("for_s")
        for_s = for_s if isinstance(for_s, int) else None
        mute = Mute(sender=SenderId(decision.key), by=decision.by, at_ms=decision.at_ms, for_s=for_s)
        if for_s is None:
            return mute
        # A clock that was set back, or not yet set, makes it no longer than it was to be.
        left_s = min(for_s, for_s - (self._clock.now_ms() - decision.at_ms) / 1000)
        return replace(mute, ends=self._clock.monotonic() + left_s)

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


def _is_same(known: Mute | None, read: Mute) -> bool:
    return known is not None and (known.by, known.at_ms, known.for_s) == (read.by, read.at_ms, read.for_s)
