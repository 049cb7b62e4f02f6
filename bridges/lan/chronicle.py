# SPDX-License-Identifier: GPL-3.0-or-later
"""What the log says, as rooms show it: lines, marks on them, what became of them. Knows rows.

All of it but `stand` is taken from the log, and is made anew from it wherever it is lost. What is about a line that
isn't there yet is kept until it comes: boxes' feeds come in any order against each other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from bridges.lan.hall import Line
from bridges.lan.lately import Lately
from bridges.lan.places import person_in
from bridges.lan.reading import lines_of
from bridges.lan.schemas import BESIDE_ROOMS, ROOMS, connected
from bridges.lan.transcript import Heard
from gateway.model import Edit, Location, Reaction, Redaction, Text, words_of

LATE_MS = 120_000
"""What came so long after it was said is marked as late."""
MOST_ABOUT = 1_000
"""Marks on a line, changes of it, and words on how far it got: each. What comes beyond isn't kept: it is read whole.

But what whoever said it changes, and how what is known goes on, always is.
"""
NAMES_OF_LINES = 5_000
"""Whose senders nobody at the page may be taken for."""
_FROM_LOG = ("line", "mark", "change", "copy")
_TABLES = (*_FROM_LOG, "standing", "first_stored")
_OWN = " UNION ".join(
    f"SELECT arrival FROM line WHERE {which}"  # noqa: S608 - words here
    # What begins with `~ali@hilltop/` stands between that and the same with the character after `/`.
    for which in ("room = ?1", "room > ?1 || '/' AND room < ?1 || '0'", "sender = ?1 AND substr(room, 1, 1) = '~'")
)
"""What one person alone was told, or told one."""
_THEIRS = "line WHERE native = ?1 AND sender = ?2"
_GOES_ON = "standing WHERE about = ?1 AND box = ?2 AND leg = ?3"


class Chronicle:
    """One box's rooms on disk."""

    def __init__(self, path: Path | str) -> None:
        """Open or make it; one that is damaged, or of another release, is made anew: sqlite3.Error if it can't be."""
        self._db = _opened(path)
        with self._db:
            for statement in BESIDE_ROOMS:
                self._db.execute(statement)
        self._lately = Lately(NAMES_OF_LINES)
        self._look_back()

    def close(self) -> None:
        """Close it."""
        self._db.close()

    @property
    def mark(self) -> str | None:
        """Up to where the log is in it."""
        return self._meta("mark")

    @property
    def believed(self) -> str | None:
        """By which membership it was made: what a removed box said may count no longer."""
        return self._meta("believed")

    def begin(self, believed: str) -> None:
        """Forget everything but what became of lines, and since when they are here: it is taken from the log again."""
        with self._db:
            self._db.execute("INSERT OR IGNORE INTO first_stored SELECT native, room, stored_ms FROM line")
            for table in (*_FROM_LOG, "meta"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names above
            self._set("believed", believed)
        self._lately.begin(())

    def take(
        self,
        heard: Sequence[Heard],
        standings: Iterable[tuple[str, str, str, str]],
        mark: str,
        now_ms: int,
        copies: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Have these in, all or none, and go on after `mark`. They are a `Transcript`'s."""
        with self._db:
            for one in heard:
                self._take(one, now_ms)
            for about, box, leg, words in standings:
                self._stand(about, box, leg, words, now_ms)
            rows = ((native, original, now_ms) for native, original in copies)
            self._db.executemany("INSERT OR IGNORE INTO copy VALUES (?, ?, ?)", rows)
            self._set("mark", mark)

    def stand(self, about: str, box: str, leg: str, words: str, now_ms: int) -> bool:
        """Note what became of a line on its way to one address of a box; False if that is known."""
        with self._db:
            return self._stand(about, box, leg, words, now_ms)

    def standing(self, about: str, box: str, leg: str) -> str:
        """Return what a box said became of a line on its way to one address; empty: nothing."""
        found = self._one("SELECT words FROM standing WHERE about = ? AND box = ? AND leg = ?", about, box, leg)
        return "" if found is None else str(found[0])

    def has(self, room: str, native: str) -> bool:
        """Whether a line is in a room."""
        return self._one("SELECT 1 FROM line WHERE native = ? AND room = ?", native, room) is not None

    def rooms_of(self, native: str) -> list[str]:
        """Return the rooms in which this changes a line: its own, or that which it is about, or was."""
        rows = self._db.execute(
            "SELECT room FROM line WHERE native = ?1 UNION SELECT l.room FROM mark m JOIN line l ON l.native = m.target"
            " WHERE m.native = ?1",
            (native,),
        )
        return [room for (room,) in rows]

    def sender_of(self, native: str) -> str | None:
        """Return who said a line, or set a mark."""
        found = self._one(
            "SELECT sender FROM line WHERE native = ?1 UNION SELECT sender FROM mark WHERE native = ?1", native
        )
        return None if found is None else str(found[0])

    def names(self) -> list[str]:
        """Return the names of those on other networks who said one of the last lines."""
        return self._lately.names()

    def _look_back(self) -> None:
        latest = "SELECT name, network FROM line ORDER BY arrival DESC LIMIT ?"
        self._lately.begin(reversed(self._db.execute(latest, (NAMES_OF_LINES,)).fetchall()))

    def target_of(self, mark: str) -> str | None:
        """Return the line that a mark is on."""
        found = self._one("SELECT target FROM mark WHERE native = ?", mark)
        return None if found is None else str(found[0])

    def lines(self, room: str, *, after: int = 0, before: int | None = None, limit: int = 50) -> list[Line]:
        """Return lines in order: those after an arrival, or the last ones before one (or of all)."""
        if after or before is None:
            where, values = "room = ? AND arrival > ? ORDER BY arrival LIMIT ?", (room, after, limit)
        if not after:
            most = before if before is not None else 2**62
            where, values = "room = ? AND arrival < ? ORDER BY arrival DESC LIMIT ?", (room, most, limit)
        return sorted(lines_of(self._db, where, values), key=lambda line: line.arrival)

    def directs(self, person: str, *, since_ms: int, after: int, before: int | None, limit: int) -> list[Line]:
        """Return what one person alone was told, or told one, since then; otherwise as `lines`."""
        order = "arrival > ?3 ORDER BY arrival" if after else "arrival < ?3 ORDER BY arrival DESC"
        bound = after or (before if before is not None else 2**62)
        where = f"arrival IN ({_OWN}) AND stored_ms >= ?2 AND {order} LIMIT ?4"
        found = lines_of(self._db, where, (person, since_ms, bound, limit))
        return sorted(found, key=lambda line: line.arrival)

    def held_since(self, person: str, key: str, now_ms: int) -> int:
        """Return since when somebody has this nickname, as far as is known: who has it now is noted."""
        found = self._one("SELECT since_ms FROM holder WHERE person = ? AND key = ?", person, key)
        if found is None:
            with self._db:
                self._db.execute("INSERT OR REPLACE INTO holder VALUES (?, ?, ?)", (person, key, now_ms))
            return now_ms
        return int(str(found[0]))

    def wrote_ms(self, chat: str) -> int:
        """Return when whose chat it is wrote there last; 0: never, as far as is known."""
        found = self._one("SELECT max(stored_ms) FROM line WHERE room = ? AND sender = ?", chat, person_in(chat))
        return 0 if found is None or found[0] is None else int(str(found[0]))

    def at_radios(self) -> list[tuple[str, str]]:
        """Return name and id of those at radios who said one of the last lines."""
        latest = "SELECT name, sender, network FROM line ORDER BY arrival DESC LIMIT ?"
        rows = self._db.execute(
            f"SELECT DISTINCT name, sender FROM ({latest}) WHERE network = 'radio'",  # noqa: S608 - words above
            (NAMES_OF_LINES,),
        )
        return [(name, sender) for name, sender in rows]

    def line(self, room: str, native: str) -> Line | None:
        """Return one line; None: it isn't there, or is a copy of another."""
        found = lines_of(self._db, "room = ? AND native = ?", (room, native))
        return found[0] if found else None

    def copies(self, native: str) -> list[Line]:
        """Return the lines that aren't shown because one that is there, this or another, is their original."""
        known = "SELECT native FROM copy WHERE native = ?1 OR original = ?1"
        return lines_of(self._db, f"native IN ({known})", (native,), copies=True)

    def retain(self, since_ms: int) -> None:
        """Drop what was stored before that time."""
        with self._db:
            for table in _TABLES:
                self._db.execute(f"DELETE FROM {table} WHERE stored_ms < ?", (since_ms,))  # noqa: S608 - names above
        self._look_back()

    def _take(self, heard: Heard, now_ms: int) -> None:
        said = heard.said
        match said.content:
            case Text() | Location():
                self._add_line(heard, now_ms)
            case Reaction(target=target, emoji=emoji):
                row = (target, said.sender.id, emoji, said.native, said.network, now_ms)
                self._db.execute(f"INSERT OR REPLACE INTO mark SELECT ?1, ?2, ?3, ?4, ?5, ?6 {_room('mark')}", row)
            case Edit(target=target, body=body):
                self._add_change(heard, target, "edit", body, now_ms)
            case Redaction(target=target):
                self._add_change(heard, target, "redaction", "", now_ms)

    def _add_line(self, heard: Heard, now_ms: int) -> None:
        said = heard.said
        words = words_of(said.content)
        if isinstance(said.content, Text) and said.content.emote:
            words = f"* {said.sender.name} {words}"
        found = self._one("SELECT stored_ms FROM first_stored WHERE native = ? AND room = ?", said.native, said.room)
        stored_ms = now_ms if found is None else int(str(found[0]))
        late = stored_ms - heard.at_ms > LATE_MS
        row = (heard.arrival, said.room, said.native, said.sender.id, said.sender.name, said.network, words)
        added = self._db.execute(
            "INSERT OR IGNORE INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, heard.at_ms, late, said.reply_to, stored_ms),
        )
        if added.rowcount > 0:
            self._lately.add(said.sender.name, said.network)

    def _add_change(self, heard: Heard, target: str, kind: str, text: str, now_ms: int) -> None:
        self._db.execute(
            f"INSERT INTO change SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 {_room('change', but=_THEIRS)}"
            " ON CONFLICT DO UPDATE SET hlc = excluded.hlc, text = excluded.text WHERE excluded.hlc > hlc",
            (target, heard.said.sender.id, kind, heard.said.network, heard.hlc, text, now_ms),
        )

    def _stand(self, about: str, box: str, leg: str, words: str, now_ms: int) -> bool:
        changed = self._db.execute(
            f"INSERT INTO standing SELECT ?1, ?2, ?3, ?4, ?5 {_room('standing', 'about', but=_GOES_ON)}"
            " ON CONFLICT DO UPDATE SET words = excluded.words"
            " WHERE excluded.words <> words",
            (about, box, leg, words, now_ms),
        )
        return changed.rowcount > 0

    def _meta(self, key: str) -> str | None:
        found = self._one("SELECT value FROM meta WHERE key = ?", key)
        return None if found is None else str(found[0])

    def _set(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _one(self, sql: str, *values: object) -> tuple[object, ...] | None:
        found: tuple[object, ...] | None = self._db.execute(sql, values).fetchone()
        return found


def _room(table: str, about: str = "target", *, but: str = "") -> str:
    """Return the condition that not too much is known about ?1 already; or, all the same, that there is such a row."""
    room = f"(SELECT count(*) FROM {table} WHERE {about} = ?1) < {MOST_ABOUT}"  # noqa: S608 - words above
    return f"WHERE ({room} OR EXISTS (SELECT 1 FROM {but}))" if but else f"WHERE {room}"  # noqa: S608 - words above


def _opened(path: Path | str) -> sqlite3.Connection:
    try:
        return connected(path, ROOMS)
    except sqlite3.DatabaseError:
        if path == ":memory:":
            raise
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        return connected(path, ROOMS)
