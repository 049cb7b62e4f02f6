# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is let in under which nickname, and what the gateway's permissions and mutes mean for the person behind it.

A nickname proves nothing, so a rule about one holds for whoever had it when it was made: nobody else may take it then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

import structlog

from bridges.lan.hall import Person, Refusal
from bridges.lan.holders import KEPT_MS, MOST_OF_ONE, Holder, Holders
from bridges.lan.nicknames import is_reserved, looks_like, why_malformed
from bridges.lan.people import People
from bridges.lan.places import nick_of, person_id
from gateway.model import BridgeContext, Level, SenderId

log = structlog.get_logger()

_UNUSABLE = (sqlite3.Error, OSError)
_UNREADABLE = Refusal(reason="this box can't use its list of nicknames: try again later", retry_after_s=60.0)


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

    def join(self, nick: str, key: str) -> Person | Refusal:
        """Let somebody in under a nickname, or under a new one; or say why not."""
        if reason := why_malformed(nick):
            return Refusal(reason=reason)
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

    def may_transmit(self, person: Person) -> bool:
        """Whether this box lets them on its radios."""
        return self._context.level_of(person.id) >= Level.TRANSMIT

    def ask(self, person: Person) -> str:
        """Note that somebody wants to be heard on radio; return what they are told."""
        if self.may_transmit(person):
            return "you may be heard on radio already"
        try:
            self._holders.ask(person.nick)
        except _UNUSABLE as error:
            return self._unreadable(error).reason
        return f"asked; whoever runs this box lets you with: allow {person.id} transmit. Keep this nickname until then"

    def asking(self) -> Sequence[SenderId]:
        """Return who asked to be heard on radio and was neither let nor turned down; the oldest nickname first."""
        try:
            ids = [person_id(one.nick, self._box) for one in self._holders.asking()]
        except _UNUSABLE as error:
            self._unreadable(error)
            return ()
        named = frozenset(self._context.named())
        return [one for one in ids if one not in named and self._context.level_of(one) < Level.TRANSMIT]

    def _unreadable(self, error: Exception) -> Refusal:
        self._context.count("lan_nicknames_unreadable")
        log.warning("lan_nicknames_unreadable", reason=str(error))
        return _UNREADABLE

    def _why_not(self, nick: str, key: str) -> str:
        held = self._holders.of(nick)
        if held is not None and (held.key, held.nick) == (key, nick):
            return ""  # theirs, whatever was decided of it since
        if held is not None and held.key != key and (reason := self._why_held(held)):
            return reason
        mine = self._holders.nicks(key)
        if any(self._why_banned(one) for one in mine):
            return "whoever is muted keeps their nickname"
        if len(mine) >= MOST_OF_ONE:
            return f"you had {MOST_OF_ONE} nicknames: take one of those"
        return self._why_trusted(nick)

    def _why_held(self, held: Holder) -> str:
        if self._is_decided(held.nick):
            return _decided(held.nick)
        is_fresh = 0 <= self._context.clock.now_ms() - held.since_ms < KEPT_MS
        return f"{held.nick} is taken: that, and what looks like it" if is_fresh else ""

    def _why_trusted(self, nick: str) -> str:
        """Return why people would trust whoever has this nickname, for no reason; empty: they wouldn't."""
        if is_reserved(nick, self._box):
            return f"{nick} looks like the name of this box, or of whoever runs one"
        if self._is_given_more(nick):
            return _decided(nick)
        return f"{nick} looks like somebody's name on another network" if looks_like(nick, self._known()) else ""

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
        return "you may say nothing here" if is_meant else ""

    def _anyone(self) -> Level:
        return self._context.level_of(person_id("/", self._box))  # a nickname that nobody can have

    def _here(self, ident: SenderId) -> str:
        nick = nick_of(ident)
        return nick if ident == person_id(nick, self._box) else ""


def _decided(nick: str) -> str:
    return f"the operator decided about {nick}, or a name like it: join by another, then ask to be let on radio"
