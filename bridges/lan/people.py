# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is at this box's page, under which nickname. Nicknames prove nothing; they tell people apart. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bridges.lan.hall import Person, Refusal
from bridges.lan.nicknames import why_malformed
from bridges.lan.places import person_id
from gateway.model import Node, likeness, phrase

MOST_PEOPLE = 2000
"""Whose nickname is kept; past it the one that was quiet longest gives theirs up."""
MOST_SHOWN = 300
HERE_S = 900.0
"""Who did nothing for so long isn't at the page any more."""
KEPT_S = 86_400.0
"""For so long a nickname is nobody else's."""


class People:
    """Everybody at one page. `now_s` only grows."""

    def __init__(self, box: str) -> None:
        self._box = box
        self._people: dict[str, Person] = {}
        """By key; who did something last is last."""
        self._looks: dict[str, set[str]] = {}
        """By what a nickname looks like: the keys of those who have one."""
        self._seen_s: dict[str, float] = {}

    def join(self, nick: str, key: str, now_s: float) -> Person | Refusal:
        """Let somebody in under a nickname, or under a new one; or say why not."""
        if (reason := why_malformed(nick)) is not None:
            return Refusal(reason=reason)
        name = nick.strip()
        if any(self._is_held(other, key, now_s) for other in self._looks.get(likeness(name), ())):
            return Refusal(reason=phrase("%(nick)s is taken, or looks like somebody else's name", nick=name))
        person = Person(id=person_id(name, self._box), nick=name, key=key)
        self._drop(key)
        self._people[key] = person
        self._looks.setdefault(likeness(name), set()).add(key)
        self.saw(person, now_s)
        while len(self._people) > MOST_PEOPLE:
            self._drop(next(iter(self._people)))
        return person

    def saw(self, person: Person, now_s: float) -> None:
        """Note that somebody does something; under which nickname they go stays."""
        self._people[person.key] = self._people.pop(person.key, person)
        self._seen_s[person.key] = now_s

    def known(self, key: str) -> Person | None:
        """Return who has this key."""
        return self._people.get(key)

    def called(self, ident: str) -> Person | None:
        """Return who goes by this id now."""
        return next((one for one in self._people.values() if one.id == ident), None)

    def here(self, now_s: float) -> Sequence[Person]:
        """Return who is at the page now, who did something last first."""
        found = (one for key, one in reversed(self._people.items()) if now_s - self._seen_s[key] < HERE_S)
        return [person for person, _ in zip(found, range(MOST_SHOWN), strict=False)]

    def nodes(self, now_s: float, now_ms: int) -> Sequence[Node]:
        """Return who is at the page now, as the gateway's directory has them."""
        return [
            Node(id=one.id, name=one.nick, role="page", last_heard_ms=now_ms - round(1000 * (now_s - self.seen_s(one))))
            for one in self.here(now_s)
        ]

    def seen_s(self, person: Person) -> float:
        """Return when somebody did something last."""
        return self._seen_s.get(person.key, float("-inf"))

    def _is_held(self, other: str, key: str, now_s: float) -> bool:
        return other != key and now_s - self._seen_s[other] < KEPT_S

    def _drop(self, key: str) -> None:
        if (gone := self._people.pop(key, None)) is not None:
            del self._seen_s[key]
            look = likeness(gone.nick)
            self._looks[look].discard(key)
            if not self._looks[look]:
                del self._looks[look]
