# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is at the page: a capability in the address or a cookie stands for a nickname, and for nothing else.

The box keeps a hash of it; somebody who reads the file can't speak for anyone.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from bridges.lan.hall import Hall, Person, Refusal

MOST_GUESTS = 10_000
KEPT_S = 30 * 24 * 3600.0
"""A nickname that nobody came back to for so long is given up."""
SPARED_S = 24 * 3600.0
"""Where there is room for no more, the one that was away longest makes room if it was away for so long."""
SEEN_AGAIN_S = 3600.0
"""So often it is noted that somebody is still there."""
MOST_PRESENT = 1_000
MOST_FORMS = 32
"""Forms of one person that are remembered as sent."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS guest (key TEXT PRIMARY KEY, nick TEXT NOT NULL, seen_s REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS guest_seen ON guest (seen_s);
CREATE TABLE IF NOT EXISTS secret (value BLOB NOT NULL);
"""


class Guests:
    """The people of this page. `now_s`: the wall clock."""

    def __init__(self, hall: Hall, store: Path | None, now_s: Callable[[], float]) -> None:
        self._hall = hall
        self._now_s = now_s
        self._present: OrderedDict[str, Person] = OrderedDict()
        self._noted_s: dict[str, float] = {}
        self._sent: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._database = sqlite3.connect(store or ":memory:", isolation_level=None)
        if store is not None:
            store.chmod(0o600)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")  # a lost nickname is chosen again
        self._database.executescript(_SCHEMA)
        self._secret = self._kept_secret()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def join(self, nick: str) -> tuple[Person, str] | Refusal | None:
        """Let somebody in; return them with their capability. None: there are as many as there may be."""
        if not self._has_room():
            return None
        capability = secrets.token_urlsafe(32)
        key = key_of(capability)
        person = self._hall.join(nick, key)
        if isinstance(person, Refusal):
            return person
        self._keep(person)
        return person, capability

    def who(self, capability: str) -> Person | Refusal | None:
        """Return whose capability this is; None: nobody's; a Refusal: their nickname is no longer theirs."""
        key = key_of(capability)
        if (person := self._present.get(key)) is not None:
            self._present.move_to_end(key)
            if self._now_s() - self._noted_s.get(key, 0.0) >= SEEN_AGAIN_S:
                self._keep(person)
            return person
        row = self._database.execute("SELECT nick FROM guest WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        found = self._hall.join(row[0], key)
        if isinstance(found, Person):
            self._keep(found)
        return found

    def renamed(self, person: Person, room: str) -> Person:
        """Return the person as the hall knows them now: a command may have changed the nickname."""
        now = next((one for one in self._hall.people(room) if one.key == person.key), person)
        if now != person:
            self._keep(now)
        return now

    def token(self, subject: str) -> str:
        """Return what a form must carry that is `subject`'s: another site can't know it."""
        return hmac.new(self._secret, subject.encode(), "sha256").hexdigest()[:32]

    def is_token(self, subject: str, given: str) -> bool:
        """Whether a form carries it."""
        return hmac.compare_digest(self.token(subject).encode(), given.encode())

    def first_time(self, person: Person, form: str) -> bool:
        """Whether this form wasn't sent before: a browser sends one again on reload and after a lost answer.

        One that names none is always new.
        """
        if not form:
            return True
        sent = self._sent.setdefault(person.key, OrderedDict())
        self._sent.move_to_end(person.key)
        if len(self._sent) > MOST_PRESENT:
            self._sent.popitem(last=False)
        if form in sent:
            return False
        sent[form] = None
        if len(sent) > MOST_FORMS:
            sent.popitem(last=False)
        return True

    def not_sent(self, person: Person, form: str) -> None:
        """It was refused: it may be sent again."""
        self._sent.get(person.key, OrderedDict()).pop(form, None)

    def _has_room(self) -> bool:
        now_s = self._now_s()
        self._database.execute("DELETE FROM guest WHERE seen_s < ?", (now_s - KEPT_S,))
        (count,) = self._database.execute("SELECT count(*) FROM guest").fetchone()
        if count < MOST_GUESTS:
            return True
        longest_away = "SELECT key FROM guest WHERE seen_s < ? ORDER BY seen_s LIMIT 1"
        found = self._database.execute(
            f"DELETE FROM guest WHERE key = ({longest_away})",  # noqa: S608  # words above
            (now_s - SPARED_S,),
        )
        return found.rowcount > 0

    def _keep(self, person: Person) -> None:
        self._present[person.key] = person
        self._noted_s[person.key] = self._now_s()
        self._present.move_to_end(person.key)
        if len(self._present) > MOST_PRESENT:
            gone, _ = self._present.popitem(last=False)
            del self._noted_s[gone]
        self._database.execute(
            "INSERT INTO guest VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET nick = ?2, seen_s = ?3",
            (person.key, person.nick, self._now_s()),
        )

    def _kept_secret(self) -> bytes:
        row = self._database.execute("SELECT value FROM secret").fetchone()
        if row is None:
            row = (secrets.token_bytes(32),)
            self._database.execute("INSERT INTO secret VALUES (?)", row)
        return bytes(row[0])


def key_of(capability: str) -> str:
    """Return what stands for a person without being able to speak for them."""
    return hashlib.sha256(capability.encode()).hexdigest()[:32]
