# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a message goes: pure, decided once when it is accepted and journalled with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gateway.model import Address, BridgeName, Lane, Level, Message, SenderId, Topic, phrase

HOUR_S = 3600
CLEAR_EXPIRES_S = 6 * HOUR_S
"""Radio texts older than this are stale unless a route says otherwise; other networks keep for ever."""
REPLAYED_S = 600
"""What boxes told each other later than this, goes to radio in a digest, unless a route says otherwise."""
ALSO = frozenset({Topic.ALERT, Topic.POSITION, Topic.WAYPOINT})
"""What a route carries besides talk unless it says otherwise. Positions and waypoints only come from bridges that were
told to pass them on, so that saying it there is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which conversations share their messages: each source's go to every target but itself."""

    name: str
    sources: tuple[Address, ...]
    targets: tuple[Address, ...]
    expires_s: Mapping[BridgeName, int] = field(default_factory=dict)
    """Per destination bridge: how old a message may grow before it is not sent any more."""
    digest_after_s: Mapping[BridgeName, int] = field(default_factory=dict)
    also: frozenset[Topic] = ALSO
    """What it carries besides talk."""
    direct: bool = False
    """A direct chat: two ends, one of them a person who is spoken to in private."""
    by: SenderId | None = None
    """Who made it in a chat; None: the configuration file."""
    at_ms: int | None = None
    """When; None: the configuration file."""

    def carries(self, topic: Topic) -> bool:
        """Whether what is said on this topic goes by it."""
        return topic is Topic.TALK or topic in self.also

    @property
    def ends(self) -> tuple[Address, ...]:
        """Every address it names, once."""
        return tuple(dict.fromkeys((*self.sources, *self.targets)))

    def joins(self, here: Address, there: Address) -> bool:
        """Whether these two share their messages by it, both ways."""
        both = {here, there}
        return both <= {*self.sources} and both <= {*self.targets}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a message is about, as far as the journal knows: that it replies to, or reacts to, or changes."""

    origin: Address | None = None
    """Where that was said. None: it is about nothing that is known."""
    direct: bool = False
    """It was said to the gateway itself, in private."""
    bound_for: tuple[Address, ...] = ()
    """Where that went."""
    private: tuple[Address, ...] = ()
    """The people it went to, where it went to nobody else on their network."""
    last_chat: Address | None = None
    """The chat in which the sender, if they have several, was spoken with last."""


NOTHING = Answers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One address a message goes to."""

    to: Address
    expires_s: int | None = None
    """None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One address a message would go to, and why it does not."""

    to: Address
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a caller other than a route asked for: exactly this address, or this one route's."""

    address: Address | None = None
    route: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """The routes of the configuration and those made in chats, and what they need to know of the bridges."""

    routes: tuple[Route, ...] = ()
    direct: Mapping[BridgeName, Address] = field(default_factory=dict)
    """Where direct messages to a bridge's own node or user go, of whoever has no direct chat."""
    in_clear: frozenset[BridgeName] = frozenset()
    """Bridges whose network anyone in range can read: sending there takes `transmit`."""
    between: frozenset[BridgeName] = frozenset()
    """Bridges between boxes: what comes from there may have been said long ago, while boxes were apart."""
    _by_source: Mapping[tuple[Address, Topic], Mapping[Address, int | None]] = field(
        init=False, repr=False, compare=False
    )
    _digest_after_s: Mapping[tuple[Address, Address], int] = field(init=False, repr=False, compare=False)
    _exposed: Mapping[Address, tuple[Address, ...]] = field(init=False, repr=False, compare=False)
    _chats: Mapping[Address, tuple[Address, ...]] = field(init=False, repr=False, compare=False)
    """By either end of direct chats: the other ends, in the order they were made."""

    def __post_init__(self) -> None:
        by_source: dict[tuple[Address, Topic], dict[Address, int | None]] = {}
        digest_after_s: dict[tuple[Address, Address], int] = {}
        for route in self.routes:
            for source in route.sources:
                for topic in filter(route.carries, Topic):
                    found = by_source.setdefault((source, topic), {})
                    for to in route.targets:
                        found.setdefault(to, self.expires_s(route, to))
                for to in route.targets:
                    after_s = self.stale_after_s(route, source, to)
                    if after_s is not None and source != to:
                        digest_after_s.setdefault((source, to), after_s)
        object.__setattr__(self, "_by_source", by_source)
        object.__setattr__(self, "_digest_after_s", digest_after_s)
        object.__setattr__(self, "_exposed", _exposed(self.routes, self.in_clear))
        object.__setattr__(self, "_chats", _chats(self.routes))

    def decide(
        self, message: Message, level: Level, *, answers: Answers | None = None, choice: Choice | None = None
    ) -> tuple[Bound | Refused, ...]:
        """Return every address the message concerns, each once, in the order of the configuration."""
        found = self._found(message, answers or NOTHING, choice)
        found.pop(message.origin, None)
        return tuple(self._judge(to, expires_s, message, level) for to, expires_s in found.items())

    def carries(self, message: Message) -> bool:
        """Whether anything is to be done about a message: talk, and what is said in private, always has a story."""
        if message.topic is Topic.TALK or message.direct:
            return True
        return not {message.origin} >= self._by_source.get((message.origin, message.topic), {}).keys()

    def folds(self, bridge: BridgeName) -> bool:
        """Whether anything that goes to this bridge may be folded."""
        return any(to.bridge == bridge for _, to in self._digest_after_s)

    def digest_after_s(self, origin: Address, to: Address) -> int | None:
        """Return how old what came from one address may be at another before it is folded; None: it never is."""
        return self._digest_after_s.get((origin, to))

    def exposed_to(self, name: Address) -> tuple[Address, ...]:
        """Return the addresses in clear networks that hear what is said at this one, direct chats aside."""
        return self._exposed.get(name, ())

    def chats(self, end: Address) -> tuple[Address, ...]:
        """Return the other ends of the direct chats with this one, in the order they were made."""
        return self._chats.get(end, ())

    def addresses(self) -> Iterator[Address]:
        """Every address that a route or a `direct` names, with repeats."""
        for route in self.routes:
            yield from route.sources
            yield from route.targets
        yield from self.direct.values()

    def _found(self, message: Message, answers: Answers, choice: Choice | None) -> dict[Address, int | None]:
        if choice is not None and choice.address is not None:
            return {choice.address: self.expires_s(None, choice.address)}
        if choice is not None and choice.route is not None:
            routes = [route for route in self.routes if route.name == choice.route]
            return {to: self.expires_s(r, to) for r in reversed(routes) for to in (*r.sources, *r.targets)}
        if message.direct:
            return {to: self.expires_s(None, to) for to in self._of_person(message, answers)}
        found = dict(self._by_source.get((message.origin, message.topic), {}))
        return found if answers.origin is None else self._in_private(message.origin, found, answers)

    def _of_person(self, message: Message, answers: Answers) -> tuple[Address, ...]:
        """Return where what somebody said in private goes: never another's chat with them.

        Where what it is about came from, or went if it was theirs; else the chat that was used last; else, without
        any, `direct`. That one place, but for emergencies: whoever is in the chat may be asleep.
        """
        person = message.origin
        chats, without = self.chats(person), self.direct.get(person.bridge)
        mine = {*chats, *([] if without is None else [without])}
        about = answers.bound_for if answers.origin == person else (answers.origin,)
        places = [to for to in about if to is not None and to in mine]
        if not places and chats:
            places = [answers.last_chat if answers.last_chat in chats else chats[-1]]
        if without is not None and (
            not places or (message.lane is Lane.EMERGENCY and not self._is_with(without, places))
        ):
            places.append(without)
        return tuple(dict.fromkeys(places))

    def _is_with(self, user: Address, places: Iterable[Address]) -> bool:
        """Whether one of these is the chat of the user whom `direct` names, made by them or for them."""
        ends = {*places}
        return any(route.direct and route.by == user.conversation and ends & {*route.ends} for route in self.routes)

    def _in_private(
        self, origin: Address, found: dict[Address, int | None], answers: Answers
    ) -> dict[Address, int | None]:
        """Return where something about what was said in private goes: there too, and on that network nowhere else.

        Also to whom no route leads, as with `direct`; but not where a chat was that is no more.
        """
        if answers.direct and answers.origin is not None:
            people: tuple[Address, ...] = (answers.origin,)
        else:
            people = tuple(to for to in answers.private if to not in found)
        bridges = {to.bridge for to in people}
        public = {to: expires_s for to, expires_s in found.items() if to.bridge not in bridges}
        mine = (to for to in people if origin in self.chats(to) or origin == self.direct.get(to.bridge))
        return public | {to: found.get(to, self.expires_s(None, to)) for to in mine}

    def expires_s(self, route: Route | None, to: Address) -> int | None:
        """Return how old a message may grow there by a route, None: by `direct`; None: it never expires."""
        default = CLEAR_EXPIRES_S if to.bridge in self.in_clear else None
        return default if route is None else route.expires_s.get(to.bridge, default)

    def stale_after_s(self, route: Route, source: Address, to: Address) -> int | None:
        """Return how old what a route carries between these may be before it is folded; None: it never is."""
        is_replayed = source.bridge in self.between and to.bridge in self.in_clear
        return route.digest_after_s.get(to.bridge, REPLAYED_S if is_replayed else None)

    def _judge(self, to: Address, expires_s: int | None, message: Message, level: Level) -> Bound | Refused:
        if level is Level.NONE:
            return Refused(to=to, reason=phrase("the sender has no permission here"))
        if to.bridge in self.in_clear and level < Level.TRANSMIT:
            return Refused(to=to, reason=phrase("the sender may read but not transmit on radio"))
        return Bound(to=to, expires_s=None if message.lane is Lane.EMERGENCY else expires_s)


def _exposed(routes: Iterable[Route], in_clear: frozenset[BridgeName]) -> dict[Address, tuple[Address, ...]]:
    found: dict[Address, dict[Address, None]] = {}
    for route in routes:
        heard = () if route.direct else tuple(to for to in route.targets if to.bridge in in_clear)
        for source in route.sources if heard else ():
            found.setdefault(source, {}).update(dict.fromkeys(to for to in heard if to != source))
    return {source: tuple(heard) for source, heard in found.items()}


def _chats(routes: Iterable[Route]) -> dict[Address, tuple[Address, ...]]:
    found: dict[Address, dict[Address, None]] = {}
    for route in routes:
        for end in route.ends if route.direct else ():
            found.setdefault(end, {}).update(dict.fromkeys(other for other in route.ends if other != end))
    return {end: tuple(others) for end, others in found.items()}
