# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is at the page: a capability in the address or a cookie stands for a nickname, and for nothing else.

The box keeps a hash of it; somebody who reads the file can't speak for anyone.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from bridges.lan.hall import Hall, Person, Refusal
from bridges.lan.page.shelf import Shelf

MOST_GUESTS = 10_000
KEPT_S = 30 * 24 * 3600.0
"""A nickname that nobody came back to for so long is given up."""
SPARED_S = 24 * 3600.0
"""Where there is room for no more, the one that was away longest makes room if it was away for so long."""
SEEN_AGAIN_S = 3600.0
"""So often it is noted that somebody is still there."""
MOST_PRESENT = 1_000


class Guests:
    """The people of this page. `now_s`: the wall clock."""

    def __init__(self, hall: Hall, store: Path | None, now_s: Callable[[], float]) -> None:
        self._hall = hall
        self._now_s = now_s
        self._present: OrderedDict[str, Person] = OrderedDict()
        self._noted_s: dict[str, float] = {}
        self._shelf = Shelf(store)
        self._rows = OrderedDict((key, (nick, seen_s)) for key, nick, seen_s in self._shelf.read())
        """Nickname, and when they were seen; who wasn't for longest comes first. Asking nobody's disk."""

    def close(self) -> None:
        """Close the file, with all that is to be in it: that waits for the disk."""
        self._shelf.close()

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
        if (row := self._rows.get(key)) is None:
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
        return hmac.new(self._shelf.secret, subject.encode(), "sha256").hexdigest()[:32]

    def is_token(self, subject: str, given: str) -> bool:
        """Whether a form carries it."""
        return hmac.compare_digest(self.token(subject).encode(), given.encode())

    def _has_room(self) -> bool:
        now_s = self._now_s()
        while (oldest := next(iter(self._rows), None)) is not None:
            away_s = now_s - self._rows[oldest][1]
            if away_s <= (KEPT_S if len(self._rows) < MOST_GUESTS else SPARED_S):
                break
            del self._rows[oldest]
            self._shelf.drop(oldest)
        return len(self._rows) < MOST_GUESTS

    def _keep(self, person: Person) -> None:
        now_s = self._now_s()
        self._present[person.key] = person
        self._noted_s[person.key] = now_s
        self._present.move_to_end(person.key)
        if len(self._present) > MOST_PRESENT:
            gone, _ = self._present.popitem(last=False)
            del self._noted_s[gone]
        self._rows[person.key] = (person.nick, now_s)
        self._rows.move_to_end(person.key)
        self._shelf.keep((person.key, person.nick, now_s))


def key_of(capability: str) -> str:
    """Return what stands for a person without being able to speak for them."""
    return hashlib.sha256(capability.encode()).hexdigest()[:32]
