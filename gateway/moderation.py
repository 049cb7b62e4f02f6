# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is muted and which rooms are slow, by this box's word and by that of the other boxes of its community."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from gateway.ages import in_words
from gateway.concert import Concert, deed_of, pace_in_words, verdict_of
from gateway.journal import Decisions, Deed
from gateway.model import (
    Address,
    BridgeError,
    Clock,
    Community,
    Declined,
    JournalError,
    Level,
    Matter,
    SenderId,
    Verdict,
)
from gateway.mutes import RADIO_SILENCE, Mute, Mutes, mute_told
from gateway.slow import MOST_S, Slow, SlowRooms
from gateway.unkept import Unkept

log = structlog.get_logger()

KEEP_UP_S = 15.0
_T = TypeVar("_T")


class Moderation(ABC):
    """What is decided of people and rooms.

    Of what boxes decide together (`community.shares`) the latest word of any box counts; what this box itself
    decided is kept in its journal besides, to be said again before the log forgets it. The others are told first: what
    they can't be told isn't decided, and what they were told holds here, too, so it is kept though it takes a while.
    """

    def __init__(self, decisions: Decisions, clock: Clock) -> None:
        self._concert = Concert(decisions)
        self._decisions = decisions
        self._clock = clock
        self._mutes = Mutes(decisions, clock)
        self._slow = SlowRooms(decisions)
        self._unkept = Unkept()

    @property
    def community(self) -> Community | None:
        """By which other boxes are told; None: there are none."""
        return self._concert.community

    @community.setter
    def community(self, community: Community | None) -> None:
        self._concert.community = community

    @abstractmethod
    def level_of(self, sender: SenderId) -> Level:
        """Return what this sender may do now."""

    async def load(self) -> None:
        """Read what was decided in earlier runs."""
        await self._mutes.load()
        await self._slow.read()

    async def dated_anew(self) -> None:
        """Read the times again."""
        await self._mutes.read()
        await self._slow.read()

    # Who is muted.

    def mute_of(self, sender: SenderId) -> Mute | None:
        """Return how this sender is muted; None: they aren't, or no more."""
        told = self._concert.told(Matter.MUTE, sender)
        return self._mutes.of(sender) if told is None else self._mute(told)

    def muted(self, sender: SenderId) -> str:
        """Return in words why this sender's messages are not carried; empty: they are."""
        mute = self.mute_of(sender)
        return "" if mute is None else mute.in_words(self._clock.monotonic())

    def mutes(self) -> Sequence[Mute]:
        """Return those that hold now: this box's, the oldest first, then those of other boxes."""
        told = [] if self.community is None else [v for v in self.community.verdicts() if v.matter is Matter.MUTE]
        others = [mute for verdict in told if (mute := self._mute(verdict)) is not None]
        names = {verdict.about for verdict in told}
        return [*(mute for mute in self._mutes.all() if mute.sender not in names), *others]

    async def mute(
        self, sender: SenderId, *, for_s: int | None, by: SenderId, ban: bool = False, where: str = "", why: str = ""
    ) -> Mute:
        """Carry nothing of this sender's any more; in place of an earlier mute of theirs.

        Declined: `sender` is `by`, or may more than they; it is banned by admins; other boxes can't be told.
        """
        if sender == by:
            raise Declined("you can't mute yourself: just say nothing")
        if self.level_of(sender) > self.level_of(by):
            raise Declined(f"{sender} may more than you: you can't mute them")
        if not ban:
            self._must_be_no_ban(sender, by)
        self._mutes.must_fit(sender)
        detail = "" if for_s is None else f"for {in_words(for_s)}"
        deed = self._deed(_word(sender, ban=ban), sender, by, where, why, detail)
        mute = await self._decide(
            verdict_of(Matter.MUTE, sender, deed, for_s=for_s, ban=ban),
            lambda: self._mutes.keep(sender, deed, for_s=for_s, ban=ban),
        )
        log.info("sender_muted", sender=sender, for_s=for_s, ban=ban, by=by)
        return mute or self.mute_of(sender) or Mute(sender=sender, by=by, at_ms=deed.at_ms, for_s=for_s, ban=ban)

    async def unmute(self, sender: SenderId, *, by: SenderId, where: str = "", why: str = "") -> bool:
        """Carry what they say again, whichever box decided otherwise; False: they are not muted.

        Declined to those who are, but for admins; and of a ban to all but admins.
        """
        found = self.mute_of(sender)
        if found is None:
            return False
        if sender == by and self.level_of(by) is not Level.ADMIN:
            raise Declined("you are muted: somebody else must take that back")
        self._must_be_no_ban(sender, by)
        deed = self._deed(f"un{_word(sender, ban=found.ban)}", sender, by, where, why)
        elsewhere = replace(deed, detail=f"decided at {found.box}")
        await self._decide(
            verdict_of(Matter.MUTE, sender, deed, over=True),
            lambda: self._gone_or_noted(self._mutes.drop(sender, deed), elsewhere),
        )
        log.info("sender_unmuted", sender=sender, by=by)
        return True

    # Which rooms are slow.

    def slow_of(self, room: Address) -> Slow | None:
        """Return what was decided of a room's pace; None: nothing, the file's holds."""
        told = self._concert.told(Matter.SLOW, room.conversation) if self._concert.has_room(room) else None
        if told is None:
            return self._slow.of(room)
        return None if told.over else _slow_of(room, told)

    def slow_rooms(self) -> Sequence[Slow]:
        """Return all rooms of whose pace something was decided."""
        found = {slow.room: slow for slow in self._slow.all()}
        if self.community is not None:
            for told in self.community.verdicts():
                room = Address(self.community.name, told.about)
                if told.matter is Matter.SLOW:
                    found.pop(room, None)
                    found |= {} if told.over else {room: _slow_of(room, told)}
        return list(found.values())

    async def slow(self, room: Address, every_s: int, *, by: SenderId, where: str = "", why: str = "") -> None:
        """Let each person say one line in so long there from now on; 0: as they like. Declined: longer than a day."""
        if not 0 <= every_s <= MOST_S:
            raise Declined("slow mode is a line in a day at most")
        self._slow.must_fit(room)
        deed = self._deed("slow", str(room), by, where, why, pace_in_words(every_s))
        told = verdict_of(Matter.SLOW, room.conversation, deed, every_s=every_s)
        await self._decide(told if self._concert.has_room(room) else None, lambda: self._slow.keep(room, every_s, deed))
        log.info("room_slowed", room=str(room), every_s=every_s, by=by)

    async def as_filed(self, room: Address, *, by: SenderId, where: str = "", why: str = "") -> bool:
        """Let the file decide of a room's pace again; False: nothing was decided."""
        found = self.slow_of(room)
        if found is None:
            return False
        deed = self._deed("slow", str(room), by, where, why, "as in the file")
        told = verdict_of(Matter.SLOW, room.conversation, deed, over=True)
        await self._decide(
            told if self._concert.has_room(room) else None,
            lambda: self._gone_or_noted(self._slow.drop(room, deed), deed),
        )
        return True

    # What boxes decide together.

    async def run(self) -> None:
        """Keep up with the other boxes, for ever."""
        while True:
            await self._clock.sleep(KEEP_UP_S)
            try:
                await self.keep_up()
            except JournalError as error:
                log.warning("verdicts_not_kept_up", reason=str(error))

    async def keep_up(self) -> None:
        """Say again what this box decided and the log lacks, or soon forgets; drop what others decided otherwise.

        What they decided is in the audit, too. To be called every now and then. JournalError.
        """
        await self._unkept.again()
        await self._concert.note_others()
        await self._keep_ours()
        try:
            for mute in self._mutes.all():
                ours = verdict_of(Matter.MUTE, mute.sender, _deed_of(mute), for_s=mute.for_s, ban=mute.ban)
                if await self._concert.is_overruled(ours):
                    await self._mutes.drop(mute.sender, self._concert.own_word(ours))
            for slow in self._slow.all():
                deed = Deed(what="slow", about=str(slow.room), by=slow.by, at_ms=slow.at_ms)
                ours = verdict_of(Matter.SLOW, slow.room.conversation, deed, every_s=slow.every_s)
                if self._concert.has_room(slow.room) and await self._concert.is_overruled(ours):
                    await self._slow.drop(slow.room, self._concert.own_word(ours, str(slow.room)))
        except BridgeError as error:
            log.info("verdicts_not_said_again", reason=str(error))

    async def _keep_ours(self) -> None:
        """Keep what this box told the others, and ended before it had kept it."""
        kept = {*(mute.sender for mute in self._mutes.all()), *(str(slow.room) for slow in self._slow.all())}
        for told, about in self._concert.ours():
            if about in kept:
                continue
            deed = deed_of(told, about)
            try:
                if told.matter is Matter.SLOW:
                    await self._slow.keep(Address.parse(about), told.every_s, deed)
                elif self._mute(told) is not None:
                    await self._mutes.keep(SenderId(about), deed, for_s=told.for_s, ban=told.ban)
            except Declined as declined:
                log.warning("decision_not_kept", reason=str(declined))

    async def _decide(self, told: Verdict | None, keep: Callable[[], Awaitable[_T]]) -> _T | None:
        """Tell the others, and keep it; None: it is told, and is kept as soon as the journal can be written."""
        await self._unkept.make_room()
        if told is None or not await self._concert.declare(told):
            return await keep()
        kept: list[_T] = []

        async def step() -> None:
            kept.append(await keep())

        await self._unkept.keep(step)
        return kept[0] if kept else None

    async def _gone_or_noted(self, going: Awaitable[bool], deed: Deed) -> None:
        """Drop what this box decided; what another did is only noted."""
        if not await going:
            await self._decisions.note(deed)

    def _mute(self, told: Verdict) -> Mute | None:
        return mute_told(told, self._clock)

    def _must_be_no_ban(self, sender: SenderId, by: SenderId) -> None:
        found = self.mute_of(sender)
        if found is not None and found.ban and self.level_of(by) is not Level.ADMIN:
            raise Declined(f"{sender} is banned: only an admin changes that")

    def silenced(self) -> str:
        """Return in words why nothing goes on radio but emergencies; empty: it does."""
        return self._mutes.silenced()

    def _deed(self, what: str, about: str, by: SenderId, where: str, why: str, detail: str = "") -> Deed:  # noqa: PLR0917 - a row
        now_ms = self._clock.now_ms()
        return Deed(what=what, about=about, by=by, at_ms=now_ms, where=where, why=why, detail=detail)


def _word(sender: SenderId, *, ban: bool) -> str:
    """Return what the audit calls it."""
    return "silence" if sender == RADIO_SILENCE else "ban" if ban else "mute"


def _deed_of(mute: Mute) -> Deed:
    return Deed(what="mute", about=mute.sender, by=mute.by, at_ms=mute.at_ms)


def _slow_of(room: Address, told: Verdict) -> Slow:
    box = "" if told.is_ours else told.box
    return Slow(room=room, every_s=told.every_s, by=told.by, at_ms=told.at_ms, box=box)
