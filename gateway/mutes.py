# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose messages are not carried, as it is kept in the journal: by whose word, and for how long still."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.ages import in_words
from gateway.journal import Decision, Decisions, Deed
from gateway.journal.decisions import must_fit
from gateway.model import NEVER_SET_MS, Clock, Phrase, SenderId, Verdict, phrase

MUTE: Final = "mute"
OPERATOR: Final = SenderId("the operator")
"""Whoever has the command line or the API's token; nobody's id has a space."""
RADIO_SILENCE: Final = SenderId("radio silence")
"""In place of a sender, for nobody's id has a space: nothing goes to a network in clear but emergencies."""


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
    ban: bool = False
    """Only admins make it and take it back."""
    box: str = ""
    """Which other box decided it; empty: this one."""

    def left_s(self, now: float) -> float | None:
        """Return for how long it still holds; None: for good."""
        return None if self.ends is None else self.ends - now

    def in_words(self, now: float) -> Phrase:
        """Say it to whoever is muted."""
        left_s = self.left_s(now)
        if self.ban:
            return phrase("the sender is banned")
        if left_s is None:
            return phrase("the sender is muted")
        return phrase("the sender is muted, for another %(time)s", time=in_words(left_s))


def left_s(for_s: int, at_ms: int, now_ms: int) -> float:
    """Return how much is left of it: no more than it was to be, though the clock was set back or never set."""
    return min(for_s, for_s - (now_ms - at_ms) / 1000)


def mute_told(told: Verdict, clock: Clock) -> Mute | None:
    """Return how a box muted somebody; None: it took that back, or it has ended."""
    if told.over:
        return None
    ends: float | None = None
    if told.for_s is not None:
        left = left_s(told.for_s, told.at_ms, clock.now_ms())
        if left <= 0:
            return None
        ends = clock.monotonic() + left
    return Mute(
        sender=SenderId(told.about),
        by=told.by,
        at_ms=told.at_ms,
        for_s=told.for_s,
        ends=ends,
        ban=told.ban,
        box="" if told.is_ours else told.box,
    )


class Mutes:
    """Those that this box decided. JournalError when they can't be kept."""

    def __init__(self, decisions: Decisions, clock: Clock) -> None:
        self._decisions = decisions
        self._clock = clock
        self._held: Mapping[SenderId, Mute] = {}

    async def load(self) -> None:
        """Read those of earlier runs; what ended is dropped."""
        await self._date()
        await self.read()
        await self._drop_what_ended()

    async def read(self) -> None:
        """Read them again."""
        known = self._held
        found = [self._mute(decision) for decision in await self._decisions.of(MUTE)]
        # One that was known goes on ending when it did, whatever the wall clock says meanwhile.
        self._held = {one.sender: known[one.sender] if _is_same(known.get(one.sender), one) else one for one in found}

    def of(self, sender: SenderId) -> Mute | None:
        """Return how somebody is muted; None: they aren't, or no more."""
        mute = self._held.get(sender) if self._held else None
        if mute is None or (mute.ends is not None and mute.ends <= self._clock.monotonic()):
            return None
        return mute

    def all(self) -> Sequence[Mute]:
        """Return those that hold now, the oldest first."""
        return [mute for mute in self._held.values() if self.of(mute.sender) is not None]

    def silenced(self) -> str:
        """Return in words why nothing goes on radio but emergencies; empty: it does."""
        mute = self.of(RADIO_SILENCE)
        if mute is None:
            return ""
        who = phrase("the operator") if mute.by == OPERATOR else mute.by
        left = mute.left_s(self._clock.monotonic())
        if left is None:
            return phrase("radio silence, by %(who)s", who=who)
        return phrase("radio silence, by %(who)s, for another %(time)s", who=who, time=in_words(left))

    def must_fit(self, sender: SenderId) -> None:
        """Full if there are as many others as are kept: to be asked before anybody is told of one more."""
        must_fit(sum(one.sender != sender for one in self.all()))

    async def keep(self, sender: SenderId, deed: Deed, *, for_s: int | None, ban: bool) -> Mute:
        """Mute somebody, in place of an earlier mute."""
        value = {**({} if for_s is None else {"for_s": for_s}), **({"ban": True} if ban else {})}
        await self._drop_what_ended()
        await self._decisions.keep(Decision(kind=MUTE, key=sender, by=deed.by, at_ms=deed.at_ms, value=value), deed)
        await self.read()
        return self._held[sender]

    async def drop(self, sender: SenderId, deed: Deed | None = None) -> bool:
        """Take it back; whether there was one. `deed` None: it is in the audit already."""
        gone = await self._decisions.drop(MUTE, sender, deed)
        await self.read()
        return gone

    async def _drop_what_ended(self) -> None:
        for mute in self._held.values():
            if self.of(mute.sender) is None:
                await self._decisions.drop(MUTE, mute.sender)

    async def _date(self) -> None:
        """Let those made before the clock was ever set begin now: nobody knows when they did."""
        now_ms = self._clock.now_ms()
        for decision in await self._decisions.of(MUTE):
            if decision.at_ms < NEVER_SET_MS <= now_ms:
                await self._decisions.keep(replace(decision, at_ms=now_ms))

    def _mute(self, decision: Decision) -> Mute:
        for_s = decision.value.get("for_s")
        for_s = for_s if isinstance(for_s, int) else None
        ban = decision.value.get("ban") is True
        mute = Mute(sender=SenderId(decision.key), by=decision.by, at_ms=decision.at_ms, for_s=for_s, ban=ban)
        if for_s is None:
            return mute
        left = left_s(for_s, decision.at_ms, self._clock.now_ms())
        return replace(mute, ends=self._clock.monotonic() + left)


def _is_same(known: Mute | None, read: Mute) -> bool:
    return known is not None and (known.by, known.at_ms, known.for_s, known.ban) == (
        read.by,
        read.at_ms,
        read.for_s,
        read.ban,
    )
