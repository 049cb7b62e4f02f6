# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes that people make and end in chats: who may, what makes sense, and how one is kept. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.addressing import is_speakable
from gateway.model import Address, BridgeName, Declined, Full, Joined, Level, SenderId, short_hash
from gateway.routing import Route

MOST_WITH_ONE: Final = 50
"""Routes made in chats that one conversation may be in: each message goes to all of them."""
MOST_BY_ONE: Final = 50
"""Direct chats that somebody may have made who may not `commands`."""
MOST_BY_ONE_WITH_ONE: Final = 5
"""Of those, with one person: so that nobody takes all of a person's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants to be joined."""

    here: Address
    there: Address
    by: SenderId
    direct: bool
    """As a chat with one person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the bridges of the configuration make possible and who may what."""

    is_person: Mapping[BridgeName, Callable[[str], bool]]
    """By bridge: whether a conversation is a direct chat with one person."""
    malformed: Mapping[BridgeName, Callable[[str], str]]
    """By bridge: why a conversation can be none of its, or nothing."""
    in_clear: frozenset[BridgeName]
    level_of: Callable[[SenderId], Level]

    def person_in(self, ends: Iterable[Address]) -> bool:
        """Whether one of these is a chat with one person."""
        return any(self.is_person[end.bridge](end.conversation) for end in ends)

    def check(self, wish: Wish) -> None:
        """Decline what makes no sense or isn't theirs to ask for."""
        for end in (wish.here, wish.there):
            self._check_address(end)
        if wish.here == wish.there:
            raise Declined(f"{wish.here} can't be joined to itself")
        if wish.direct and not self.person_in((wish.here, wish.there)):
            raise Declined(f"neither {wish.here} nor {wish.there} is a chat with one person")
        self.check_level(wish.by, (wish.here, wish.there), direct=wish.direct)

    def check_level(self, by: SenderId, ends: Iterable[Address], *, direct: bool) -> None:
        """Decline to those who may not make or end such a route."""
        needed, level = self._needed(ends, direct=direct), self.level_of(by)
        if level < needed:
            raise Declined(f"that takes the permission {needed.name.lower()}; {by} has {level.name.lower()}")

    def is_bounded(self, by: SenderId) -> bool:
        """Whether they may only make so many."""
        return self.level_of(by) < Level.COMMANDS

    def _needed(self, ends: Iterable[Address], *, direct: bool) -> Level:
        on_air = [end for end in ends if end.bridge in self.in_clear]
        if not direct or not all(self.person_in((end,)) for end in on_air):
            return Level.COMMANDS  # a channel with one person of another network is no chat of two
        return Level.TRANSMIT if on_air else Level.READ

    def _check_address(self, end: Address) -> None:
        if end.bridge not in self.is_person:
            known = ", ".join(self.is_person) or "none"
            raise Declined(f"there is no bridge called {end.bridge}; there is: {known}")
        if not is_speakable(end.conversation):
            raise Declined(f"there is no such conversation on {end.bridge}")
        if reason := self.malformed[end.bridge](end.conversation):
            raise Declined(reason)


def check_room(wish: Wish, routes: Iterable[Route], *, people: Iterable[Address], is_bounded: bool) -> None:
    """Raise Full for what would be too much.

    `routes`: those made in chats; `people`: which ends are one person; `is_bounded`: whoever asks may make only so
    many direct ones.
    """
    made = tuple(routes)
    theirs = [route for route in made if route.direct and route.by == wish.by] if is_bounded else []
    for person in people:
        if sum(person in route.ends for route in theirs) >= MOST_BY_ONE_WITH_ONE:
            raise Full(f"you have made {MOST_BY_ONE_WITH_ONE} direct chats with {person} already: part one first")
    for end in (wish.here, wish.there):
        if sum(end in route.ends for route in made) >= MOST_WITH_ONE:
            raise Full(f"{end} is joined with {MOST_WITH_ONE} others in chats already: part one first")
    if len(theirs) >= MOST_BY_ONE:
        raise Full(f"you have made {MOST_BY_ONE} direct chats already: part one first")


def key_of(here: Address, there: Address) -> str:
    """Return what a route between these two is kept under, whichever end asks."""
    return short_hash("route", *sorted(map(str, (here, there))))


def name_of(wish: Wish, taken: Iterable[str]) -> str:
    """Return a name for the route that no other has: always the same for the same ends, if it isn't taken."""
    used, key = frozenset(taken), key_of(wish.here, wish.there)
    names = (f"{'chat' if wish.direct else 'joined'}-{key[:length]}" for length in range(6, len(key) + 1))
    return next(name for name in names if name not in used)


def value_of(route: Route) -> Mapping[str, Any]:
    """Return what is kept of a route."""
    return {"ends": [str(end) for end in route.ends], "direct": route.direct, "name": route.name}


def route_of(value: Mapping[str, Any], *, by: SenderId, at_ms: int) -> Route | None:
    """Read what `value_of` wrote; None if this release can't."""
    match value:
        case {"ends": [str(here), str(there)], "direct": bool(direct), "name": str(name)} if name:
            try:
                ends = (Address.parse(here), Address.parse(there))
            except ValueError:
                return None
            return Route(name=name, sources=ends, targets=ends, direct=direct, by=by, at_ms=at_ms)
        case _:
            return None


def joined(route: Route, in_clear: frozenset[BridgeName]) -> Joined:
    """Return a route as bridges are told of it."""
    return Joined(
        route=route.name,
        ends=route.ends,
        exposed_to=tuple(end for end in route.ends if end.bridge in in_clear and not route.direct),
        direct=route.direct,
        by=route.by,
        at_ms=route.at_ms,
    )
