# SPDX-License-Identifier: GPL-3.0-or-later
"""What boxes of a community decide together, as the core asks and tells it; where there is none, nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.ages import in_words
from gateway.journal import Decisions, Deed
from gateway.journal.audit import MOST, MOST_ELSEWHERE
from gateway.model import NEVER_SET_MS, Address, BridgeError, Community, Declined, Matter, Verdict

_AT_BOX: Final = "box "
"""Begins where something was decided that another box decided."""
_Mark = tuple[str | int, ...]


class Concert:
    """This box among the others."""

    def __init__(self, decisions: Decisions) -> None:
        self.community: Community | None = None
        self._decisions = decisions
        self._noted: dict[_Mark, None] | None = None
        """What other boxes decided and the audit has, as much as that keeps; None: not read yet."""

    def told(self, matter: Matter, about: str) -> Verdict | None:
        """Return the latest word of any box; None: it isn't for all to decide, or none did."""
        if self.community is None or not self.community.shares(matter, about):
            return None
        return self.community.verdict(matter, about)

    def has_room(self, room: Address) -> bool:
        """Whether a room's pace is for all to decide."""
        community = self.community
        return (
            community is not None and room.bridge == community.name and community.shares(Matter.SLOW, room.conversation)
        )

    async def declare(self, verdict: Verdict) -> bool:
        """Tell all boxes what is for all to decide, and return whether it is; Declined if they can't be told."""
        if self.community is None or not self.community.shares(verdict.matter, verdict.about):
            return False
        try:
            await self.community.declare(verdict)
        except BridgeError as error:
            raise Declined(f"the other boxes can't be told now, so nothing was changed: {error}") from error
        return True

    def ours(self) -> Sequence[tuple[Verdict, str]]:
        """Return what this box decided and still stands, each with what the journal calls it: about whom, or where."""
        if self.community is None:
            return ()
        name = self.community.name
        found = [told for told in self.community.verdicts() if told.is_ours and not told.over]
        slow = Matter.SLOW
        return [(one, str(Address(name, one.about)) if one.matter is slow else one.about) for one in found]

    def own_word(self, ours: Verdict, about: str = "") -> Deed | None:
        """Return what the audit lacks where this box itself overruled that; None: another did, and the audit has it."""
        told = self.told(ours.matter, ours.about)
        return deed_of(told, about or told.about) if told is not None and told.is_ours else None

    async def is_overruled(self, ours: Verdict) -> bool:
        """Whether another box, or this one, decided otherwise later; if not, see to it that the log has it.

        What was decided while this box had no clock is told anew once its time is known. Raises BridgeError.
        """
        community = self.community
        if community is None or not community.shares(ours.matter, ours.about):
            return False
        told = community.verdict(ours.matter, ours.about)
        if told is not None and (told.over or not told.is_ours):
            return True
        if told is None or told.at_ms < NEVER_SET_MS <= ours.at_ms or community.fades(ours.matter, ours.about):
            await community.declare(ours)
        return False

    async def note_others(self) -> None:
        """Have in the audit what other boxes decided, once. JournalError."""
        if self.community is None:
            return
        if self._noted is None:
            entries = await self._decisions.audit(limit=MOST + MOST_ELSEWHERE)
            self._noted = {_mark(one): None for one in reversed(entries) if one.where.startswith(_AT_BOX)}
        for told in self.community.verdicts():
            deed = deed_of(told)
            if not told.is_ours and _mark(deed) not in self._noted:
                await self._decisions.note(deed, elsewhere=True)
                self._noted[_mark(deed)] = None
                if len(self._noted) > MOST_ELSEWHERE:
                    del self._noted[next(iter(self._noted))]


def verdict_of(
    matter: Matter,
    about: str,
    deed: Deed,
    *,
    over: bool = False,
    for_s: int | None = None,
    ban: bool = False,
    every_s: int = 0,
) -> Verdict:
    """Return what this box tells the others of a decision of its own."""
    return Verdict(
        matter=matter,
        about=about,
        by=deed.by,
        at_ms=deed.at_ms,
        over=over,
        for_s=for_s,
        ban=ban,
        every_s=every_s,
        why=deed.why,
    )


def deed_of(told: Verdict, about: str = "") -> Deed:
    """Return the audit's entry of what another box decided; `about`: of what this one did, as its journal calls it."""
    what, detail = told.matter.value, ""
    if told.matter is Matter.MUTE:
        what = f"{'un' if told.over else ''}{'ban' if told.ban else 'mute'}"
        detail = "" if told.for_s is None else f"for {in_words(told.for_s)}"
    else:
        detail = "as in the file" if told.over else pace_in_words(told.every_s)
    where = "" if told.is_ours else f"{_AT_BOX}{told.box}"
    return Deed(
        what=what, about=about or told.about, by=told.by, at_ms=told.at_ms, where=where, detail=detail, why=told.why
    )


def pace_in_words(every_s: int) -> str:
    """Say how slow a room is."""
    return f"one line in {in_words(every_s)}" if every_s else "off"


def _mark(deed: Deed) -> _Mark:
    return (deed.what, deed.about, deed.by, deed.at_ms, deed.where, deed.detail)
