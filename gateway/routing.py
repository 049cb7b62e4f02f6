# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a message goes: pure, decided once when it is accepted and journalled with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gateway.model import Address, BridgeName, Lane, Level, Message

HOUR_S = 3600
CLEAR_EXPIRES_S = 6 * HOUR_S
"""Radio texts older than this are stale unless a route says otherwise; other networks keep for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which conversations share their messages: each source's go to every target but itself."""

    name: str
    sources: tuple[Address, ...]
    targets: tuple[Address, ...]
    expires_s: Mapping[BridgeName, int] = field(default_factory=dict)
    """Per destination bridge: how old a message may grow before it is not sent any more."""
    digest_after_s: Mapping[BridgeName, int] = field(default_factory=dict)


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
    """The configuration's routes, and what they need to know of the bridges."""

    routes: tuple[Route, ...] = ()
    direct: Mapping[BridgeName, Address] = field(default_factory=dict)
    """Where direct messages to a bridge's own node or user go."""
    in_clear: frozenset[BridgeName] = frozenset()
    """Bridges whose network anyone in range can read: sending there takes `transmit`."""
    _by_source: Mapping[Address, Mapping[Address, int | None]] = field(init=False, repr=False, compare=False)
    _digest_after_s: Mapping[tuple[Address, Address], int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_source: dict[Address, dict[Address, int | None]] = {}
        digest_after_s: dict[tuple[Address, Address], int] = {}
        for route in self.routes:
            for source in route.sources:
                found = by_source.setdefault(source, {})
                for to in route.targets:
                    found.setdefault(to, self._expiry(route, to))
                    if to.bridge in route.digest_after_s:
                        digest_after_s.setdefault((source, to), route.digest_after_s[to.bridge])
        object.__setattr__(self, "_by_source", by_source)
        object.__setattr__(self, "_digest_after_s", digest_after_s)

    def decide(
        self, message: Message, level: Level, *, answers: Address | None = None, choice: Choice | None = None
    ) -> tuple[Bound | Refused, ...]:
        """Return every address the message concerns, each once, in the order of the configuration.

        `answers`: the direct chat that a replied-to message came from. Such a reply goes back into
        that chat, and on its bridge nowhere else: what was said in private isn't answered in public.
        """
        found = self._found(message, choice)
        if answers is not None and choice is None:
            found = {to: s for to, s in found.items() if to.bridge != answers.bridge}
            found[answers] = CLEAR_EXPIRES_S if answers.bridge in self.in_clear else None
        found.pop(message.origin, None)
        return tuple(self._judge(to, expires_s, message, level) for to, expires_s in found.items())

    def folds(self, bridge: BridgeName) -> bool:
        """Whether anything that goes to this bridge may be folded."""
        return any(bridge in route.digest_after_s for route in self.routes)

    def digest_after_s(self, origin: Address, to: Address) -> int | None:
        """Return how old what came from one address may be at another before it is folded; None: it never is."""
        return self._digest_after_s.get((origin, to))

    def exposed_to(self, name: Address) -> tuple[Address, ...]:
        """Return the addresses in clear networks that hear what is said at this one."""
        heard = {
            to: None
            for route in self.routes
            if name in route.sources
            for to in route.targets
            if to != name and to.bridge in self.in_clear
        }
        return tuple(heard)

    def addresses(self) -> Iterator[Address]:
        """Every address that a route or a `direct` names, with repeats."""
        for route in self.routes:
            yield from route.sources
            yield from route.targets
        yield from self.direct.values()

    def _found(self, message: Message, choice: Choice | None) -> dict[Address, int | None]:
        if choice is not None and choice.address is not None:
            return {choice.address: self._expiry(None, choice.address)}
        if choice is not None and choice.route is not None:
            routes = [route for route in self.routes if route.name == choice.route]
            return {to: self._expiry(r, to) for r in reversed(routes) for to in (*r.sources, *r.targets)}
        if message.direct:
            to = self.direct.get(message.origin.bridge)
            return {} if to is None else {to: self._expiry(None, to)}
        return dict(self._by_source.get(message.origin, {}))

    def _expiry(self, route: Route | None, to: Address) -> int | None:
        default = CLEAR_EXPIRES_S if to.bridge in self.in_clear else None
        return default if route is None else route.expires_s.get(to.bridge, default)

    def _judge(self, to: Address, expires_s: int | None, message: Message, level: Level) -> Bound | Refused:
        if level is Level.NONE:
            return Refused(to=to, reason="the sender has no permission here")
        if to.bridge in self.in_clear and level < Level.TRANSMIT:
            return Refused(to=to, reason=f"the sender may {level.name.lower()} but not transmit on radio")
        return Bound(to=to, expires_s=None if message.lane is Lane.EMERGENCY else expires_s)
