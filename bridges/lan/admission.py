# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is let in under which nickname, and what the gateway's permissions and mutes mean for the person behind it.

A nickname proves nothing, so a rule about one holds for whoever had it when it was made: nobody else may take it then.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import structlog

from bridges.lan.hall import Person, Refusal
from bridges.lan.holders import KEPT_MS, MOST_OF_ONE, UNDATED_MS, Holder, Holders
from bridges.lan.nicknames import is_reserved, looks_like, own_part, why_malformed
from bridges.lan.people import People
from bridges.lan.places import nick_of, person_id
from gateway.model import Asking, BridgeContext, Level, SenderId, phrase

log = structlog.get_logger()

_UNUSABLE = (sqlite3.Error, OSError)
_UNREADABLE = Refusal(reason=phrase("this box can't use its list of nicknames: try again later"), retry_after_s=60.0)
ASKING_MS = 7 * 86_400_000
"""Who asked for the radio waits for so long; then they have to ask again."""
MOST_ASKING = 200
"""Who wait for an answer at once; one more is told to ask later."""
READ_AGAIN_S = 5.0


class Admission:
    """The door of one page."""

    def __init__(
        self, context: BridgeContext, people: People, holders: Holders, *, box: str, known: Callable[[], Sequence[str]]
    ) -> None:
        """`known`: names of people on other networks, whom nobody may be taken for."""
        self._context = context
        self._people = people
        self._holders = holders
        self._box = box
        self._known = known
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read who had which nickname; where that can't be, it is tried again when somebody comes."""
        try:
            await asyncio.to_thread(self._holders.open)
        except _UNUSABLE as error:
            self._unreadable(error)

    async def close(self) -> None:
        """Write what is still to be written."""
        if self._reading is not None:
            await asyncio.wait([self._reading])
            self._reading = None
        await asyncio.to_thread(self._holders.close)

    def join(self, nick: str, key: str) -> Person | Refusal:
        """Let somebody in under a nickname, or under a new one; or say why not."""
        if (malformed := why_malformed(nick)) is not None:
            return Refusal(reason=malformed)
        nick = nick.strip()
        try:
            if reason := self._why_not(nick, key):
                self._context.count("lan_nickname_refused")
                return Refusal(reason=reason)
            before = self._people.known(key)
            joined = self._people.join(nick, key, self._context.clock.monotonic())
            if isinstance(joined, Person):
                self._holders.take(joined, before, self._context.clock.now_ms(), keep=self._is_decided)
        except _UNUSABLE as error:
            return self._unreadable(error)
        return joined

    def why_silent(self, person: Person) -> str:
        """Return why somebody may say nothing, in words: by any nickname that they had last; empty: they may."""
        try:
            nicks = dict.fromkeys((person.nick, *self._holders.nicks(person.key)))
        except _UNUSABLE as error:
            return self._unreadable(error).reason
        return next((reason for nick in nicks if (reason := self._why_banned(nick))), "")

    def standing(self, person: Person) -> str:
        """Return what became of somebody's asking for the radio, in words for them; empty: they didn't ask."""
        try:
            held = self._holders.of(person.nick)
        except _UNUSABLE:
            return ""
        if held is None or held.key != person.key or not held.asked_ms:
            return ""
        if self.may_transmit(person):
            return phrase("you asked to be heard on radio, and you may")
        if person.id in self._context.named():
            return phrase("you asked to be heard on radio, and whoever runs this box said no")
        if self._is_over(held):
            return phrase("you asked to be heard on radio, and nobody answered in time: /radio asks again")
        return phrase("you asked to be heard on radio: whoever runs this box has not answered yet")

    def may_transmit(self, person: Person) -> bool:
        """Whether this box lets them on its radios."""
        return self._context.level_of(person.id) >= Level.TRANSMIT

    def ask(self, person: Person) -> str:
        """Note that somebody wants to be heard on radio; return what they are told."""
        if self.may_transmit(person):
            return phrase("you may be heard on radio already")
        if person.id in self._context.named():
            return phrase("whoever runs this box decided already that you are not heard on radio")
        waiting = self.asking()
        if person.id not in {one.sender for one in waiting} and len(waiting) >= MOST_ASKING:
            return phrase("too many ask to be heard on radio just now: ask again later")
        try:
            self._holders.ask(person.nick, self._context.clock.now_ms())
        except _UNUSABLE as error:
            return self._unreadable(error).reason
        return phrase(
            "asked; whoever runs this box lets you with: approve %(who)s. Keep this nickname until then", who=person.id
        )

    def asking(self) -> Sequence[Asking]:
        """Return who asked to be heard on radio within the week and has no answer; who asked first at the head."""
        try:
            held = [one for one in self._holders.asking() if not self._is_over(one)]
        except _UNUSABLE:
            return ()
        named = frozenset(self._context.named())
        asking = [Asking(sender=person_id(one.nick, self._box), since_ms=_dated(one)) for one in held]
        waits = (one for one in asking if one.sender not in named)
        return [one for one in waits if self._context.level_of(one.sender) < Level.TRANSMIT]

    def _is_over(self, held: Holder) -> bool:
        """Whether somebody asked too long ago. A clock that was set back since makes nobody wait for ever."""
        age_ms = self._context.clock.now_ms() - held.asked_ms
        return held.asked_ms != UNDATED_MS and not -ASKING_MS < age_ms < ASKING_MS

    def _unreadable(self, error: Exception) -> Refusal:
        self._context.count("lan_nicknames_unreadable")
        self._read_again()
        log.warning("lan_nicknames_unreadable", reason=str(error))
        return _UNREADABLE

    def _read_again(self) -> None:
        if not self._holders.is_open and (self._reading is None or self._reading.done()):
            self._reading = asyncio.get_running_loop().create_task(self._read(), name="read nicknames")

    async def _read(self) -> None:
        await self._context.clock.sleep(READ_AGAIN_S)
        with suppress(*_UNUSABLE):
            await asyncio.to_thread(self._holders.open)

    def _why_not(self, nick: str, key: str) -> str:
        held = self._holders.of(nick)
        if held is not None and (held.key, held.nick) == (key, nick):
            return ""  # theirs, whatever was decided of it since
        if held is not None and held.key != key and (reason := self._why_held(held)):
            return reason
        mine = self._holders.nicks(key)
        if any(self._why_banned(one) for one in mine):
            return phrase("whoever is muted keeps their nickname")
        if len(mine) >= MOST_OF_ONE:
            return phrase("you had %(num)d nicknames: take one of those", num=MOST_OF_ONE)
        return self._why_trusted(nick)

    def _why_held(self, held: Holder) -> str:
        if self._is_decided(held.nick):
            return _decided(held.nick)
        is_fresh = 0 <= self._context.clock.now_ms() - held.since_ms < KEPT_MS
        return phrase("%(nick)s is taken: that, and what looks like it", nick=held.nick) if is_fresh else ""

    def _why_trusted(self, nick: str) -> str:
        """Return why people would trust whoever has this nickname, for no reason; empty: they wouldn't."""
        if is_reserved(nick, (self._box, *self._operators())):
            return phrase("%(nick)s looks like the name of this box, or of whoever runs one", nick=nick)
        if self._is_given_more(nick):
            return _decided(nick)
        if looks_like(nick, self._known()) or looks_like(nick, self._context.known_as()):
            return phrase("%(nick)s looks like somebody's name on another network", nick=nick)
        return ""

    def _operators(self) -> Iterator[str]:
        """Yield what those are called on their networks who may command this gateway."""
        level_of = self._context.level_of
        yield from (own_part(one) for one in self._context.named() if level_of(one) >= Level.COMMANDS)

    def _is_decided(self, nick: str) -> bool:
        return self._is_given_more(nick) or bool(self._why_banned(nick))

    def _is_given_more(self, nick: str) -> bool:
        """Whether permissions give more to this nickname, or to one that it looks like, than to any at the page."""
        anyone, level_of = self._anyone(), self._context.level_of
        named = (self._here(one) for one in self._context.named() if level_of(one) > anyone)
        return level_of(person_id(nick, self._box)) > anyone or looks_like(nick, filter(None, named))

    def _why_banned(self, nick: str) -> str:
        ident = person_id(nick, self._box)
        if reason := self._context.muted(ident):
            return reason
        if self._context.level_of(ident) > Level.NONE:
            return ""
        # Where no rule is about anybody at the page they talk among themselves.
        is_meant = self._anyone() > Level.NONE or ident in self._context.named()
        return phrase("you may say nothing here") if is_meant else ""

    def _anyone(self) -> Level:
        return self._context.level_of(person_id("/", self._box))  # a nickname that nobody can have

    def _here(self, ident: SenderId) -> str:
        nick = nick_of(ident)
        return nick if ident == person_id(nick, self._box) else ""


def _decided(nick: str) -> str:
    return phrase(
        "the operator decided about %(nick)s, or a name like it: join by another, then ask to be let on radio",
        nick=nick,
    )


def _dated(held: Holder) -> int | None:
    return None if held.asked_ms == UNDATED_MS else held.asked_ms
