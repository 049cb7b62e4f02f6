# SPDX-License-Identifier: GPL-3.0-or-later
"""Who had which nickname last: what is decided of a name holds for the person behind it, whatever they go by next.

Kept over restarts, in memory as a whole, and written behind: nobody who joins waits for the disk.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from bridges.lan.behind import Behind
from bridges.lan.hall import Person
from gateway.model import likeness

FILE = "nicknames.db"
MOST_HELD = 10_000
"""Nicknames; past it the one that was used longest ago, and of which nothing is decided, is forgotten."""
MOST_OF_ONE = 16
"""Nicknames of one person: nobody gets rid of what is decided of one by taking others."""
KEPT_MS = 86_400_000
"""For so long nobody else takes it: what its holder said under it is still read."""
UNDATED_MS = 1
"""When somebody asked of whom an earlier release noted only that they did."""
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
    asked_ms: int = 0
    """When they asked to be let on the radio under it; 0: they didn't."""


class Holders:
    """The nicknames of one page. Every call but `close` raises sqlite3.Error or OSError if the file can't be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: OrderedDict[str, Holder] | None = None
        self._looks: dict[str, set[str]] = {}
        """By key: what its nicknames look like."""
        self._behind: Behind[Holder | None] = Behind(self._write_all)

    def open(self) -> None:
        """Read the file, which may take a moment: for a thread of its own."""
        if self._held is not None:
            return
        held: OrderedDict[str, Holder] = OrderedDict()
        looks: dict[str, set[str]] = {}
        with closing(self._opened()) as db:
            rows = db.execute("SELECT look, nick, key, since_ms, asks FROM holder ORDER BY since_ms, look")
            for look, nick, key, since_ms, asked_ms in rows:
                held[look] = Holder(nick=nick, key=key, since_ms=since_ms, asked_ms=asked_ms)
                looks.setdefault(key, set()).add(look)
        self._held, self._looks = held, looks

    def close(self) -> None:
        """Write what is still to be written, as far as the disk lets us; waits for it."""
        self._behind.close()

    @property
    def is_open(self) -> bool:
        """Whether it was read."""
        return self._held is not None

    def of(self, nick: str) -> Holder | None:
        """Return who has a nickname that looks like this one."""
        return self._all.get(likeness(nick))

    def nicks(self, key: str) -> Sequence[str]:
        """Return the nicknames that somebody had, and nobody after them."""
        held = self._all
        return [held[look].nick for look in self._looks.get(key, ())]

    def asking(self) -> Sequence[Holder]:
        """Return those who asked for the radio, who asked first at the head."""
        return sorted((one for one in self._all.values() if one.asked_ms), key=lambda one: one.asked_ms)

    def take(self, person: Person, before: Person | None, now_ms: int, *, keep: Callable[[str], bool]) -> None:
        """Note who somebody is now, and was `before`. `keep`: whether something is decided of a nickname."""
        if before is not None and before.nick != person.nick and (left := self.of(before.nick)) is not None:
            self._write(replace(left, since_ms=now_ms))
        now = self.of(person.nick)
        if now is None or (now.nick, now.key) != (person.nick, person.key):
            self._write(Holder(nick=person.nick, key=person.key, since_ms=now_ms))
            self._forget(keep)

    def ask(self, nick: str, now_ms: int) -> None:
        """Note that whoever has it asks for the radio."""
        if (now := self.of(nick)) is not None:
            self._write(replace(now, asked_ms=max(UNDATED_MS, now_ms)))

    @property
    def _all(self) -> OrderedDict[str, Holder]:
        if self._held is None:
            raise OSError("the list of nicknames was not read yet")
        return self._held

    def _write(self, one: Holder) -> None:
        look, held = likeness(one.nick), self._all
        self._behind.put(look, one)
        self._drop(look)
        held[look] = one
        self._looks.setdefault(one.key, set()).add(look)

    def _drop(self, look: str) -> None:
        gone = self._all.pop(look, None)
        if gone is not None:
            self._looks[gone.key].discard(look)
            if not self._looks[gone.key]:
                del self._looks[gone.key]

    def _forget(self, keep: Callable[[str], bool]) -> None:
        held = self._all
        if len(held) <= MOST_HELD:
            return
        look = next((look for look, one in held.items() if not keep(one.nick)), next(iter(held)))
        self._behind.put(look, None)
        self._drop(look)

    def _write_all(self, rows: Mapping[str, Holder | None]) -> None:
        with closing(self._opened()) as db, db:
            db.executemany("DELETE FROM holder WHERE look = ?", [(look,) for look, one in rows.items() if one is None])
            kept = [(look, one.nick, one.key, one.since_ms, one.asked_ms) for look, one in rows.items() if one]
            db.executemany("INSERT OR REPLACE INTO holder VALUES (?, ?, ?, ?, ?)", kept)

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path)
        try:
            db.execute(_SCHEMA)
            self._path.chmod(0o600)
        except (sqlite3.Error, OSError):
            db.close()
            raise
        return db
