# SPDX-License-Identifier: GPL-3.0-or-later
"""Who had which nickname last: what is decided of a name holds for the person behind it, whatever they go by next.

Kept over restarts, in memory as a whole, and written as it changes.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from bridges.lan.hall import Person
from gateway.model import likeness

FILE = "nicknames.db"
MOST_HELD = 10_000
"""Nicknames; past it the one that was used longest ago, and of which nothing is decided, is forgotten."""
MOST_OF_ONE = 16
"""Nicknames of one person: nobody gets rid of what is decided of one by taking others."""
KEPT_MS = 86_400_000
"""For so long nobody else takes it: what its holder said under it is still read."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS holder (
    look TEXT PRIMARY KEY, nick TEXT NOT NULL, key TEXT NOT NULL, since_ms INTEGER NOT NULL, asks INTEGER NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who went by a nickname last."""

    nick: str
    key: str
    since_ms: int
    """When they took it or gave it up, by a clock that may have been wrong."""
    asks: bool = False
    """They asked to be let on the radio under it."""


class Holders:
    """The nicknames of one page. Every call raises sqlite3.Error or OSError if the file can't be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: OrderedDict[str, Holder] | None = None
        self._looks: dict[str, set[str]] = {}
        """By key: what its nicknames look like."""

    def of(self, nick: str) -> Holder | None:
        """Return who has a nickname that looks like this one."""
        return self._all.get(likeness(nick))

    def nicks(self, key: str) -> Sequence[str]:
        """Return the nicknames that somebody had, and nobody after them."""
        held = self._all
        return [held[look].nick for look in self._looks.get(key, ())]

    def asking(self) -> Sequence[Holder]:
        """Return those who asked for the radio, the oldest nickname first."""
        return [one for one in self._all.values() if one.asks]

    def take(self, person: Person, before: Person | None, now_ms: int, *, keep: Callable[[str], bool]) -> None:
        """Note who somebody is now, and was `before`. `keep`: whether something is decided of a nickname."""
        if before is not None and before.nick != person.nick and (left := self.of(before.nick)) is not None:
            self._write(replace(left, since_ms=now_ms))
        now = self.of(person.nick)
        if now is None or (now.nick, now.key) != (person.nick, person.key):
            self._write(Holder(nick=person.nick, key=person.key, since_ms=now_ms))
            self._forget(keep)

    def ask(self, nick: str) -> None:
        """Note that whoever has it asks for the radio."""
        if (now := self.of(nick)) is not None and not now.asks:
            self._write(replace(now, asks=True))

    @property
    def _all(self) -> OrderedDict[str, Holder]:
        if self._held is None:
            with closing(self._opened()) as db:
                rows = db.execute("SELECT look, nick, key, since_ms, asks FROM holder ORDER BY since_ms, look")
                self._held = OrderedDict()
                for look, nick, key, since_ms, asks in rows:
                    self._put(self._held, look, Holder(nick=nick, key=key, since_ms=since_ms, asks=bool(asks)))
        return self._held

    def _put(self, held: OrderedDict[str, Holder], look: str, one: Holder) -> None:
        self._drop(held, look)
        held[look] = one
        self._looks.setdefault(one.key, set()).add(look)

    def _drop(self, held: OrderedDict[str, Holder], look: str) -> None:
        gone = held.pop(look, None)
        if gone is not None:
            self._looks[gone.key].discard(look)
            if not self._looks[gone.key]:
                del self._looks[gone.key]

    def _write(self, one: Holder) -> None:
        look, held = likeness(one.nick), self._all
        with closing(self._opened()) as db, db:
            row = (look, one.nick, one.key, one.since_ms, one.asks)
            db.execute("INSERT OR REPLACE INTO holder VALUES (?, ?, ?, ?, ?)", row)
        self._put(held, look, one)

    def _forget(self, keep: Callable[[str], bool]) -> None:
        held = self._all
        if len(held) <= MOST_HELD:
            return
        look = next((look for look, one in held.items() if not keep(one.nick)), next(iter(held)))
        with closing(self._opened()) as db, db:
            db.execute("DELETE FROM holder WHERE look = ?", (look,))
        self._drop(held, look)

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path)
        try:
            db.execute(_SCHEMA)
            self._path.chmod(0o600)
        except (sqlite3.Error, OSError):
            db.close()
            raise
        return db
