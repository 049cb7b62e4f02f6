# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes made and ended in chats while the gateway runs, beside the configuration's.

A decision is kept first and takes effect then, in one step that nothing can come between: a crash before
that step is made good by the next start, which reads the decisions before it builds any bridge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import structlog

from gateway.addressing import meant
from gateway.joining import Rules, Wish, check_room, joined, key_of, name_of, route_of, value_of
from gateway.journal import Decision, Decisions
from gateway.model import (
    Address,
    Asked,
    Bridge,
    BridgeKind,
    BridgeName,
    Clock,
    Declined,
    Directory,
    Joined,
    JournalError,
    Level,
    Offers,
    Rerouted,
    RoutedConversation,
    SenderId,
)
from gateway.routing import Route, RoutingTable

log = structlog.get_logger()

T = TypeVar("T")

ROUTE: Final = "route"


class Rerouting:
    """The routes as they are now: a `gateway.model.Desk` that knows nothing but routes."""

    def __init__(
        self,
        configured: RoutingTable,
        kinds: Mapping[BridgeName, BridgeKind],
        decisions: Decisions,
        clock: Clock,
        level_of: Callable[[SenderId], Level],
    ) -> None:
        self._configured = configured
        self._kinds = kinds
        self._decisions = decisions
        self._clock = clock
        is_person = {name: kind.is_direct for name, kind in kinds.items()}
        malformed = {name: kind.malformed for name, kind in kinds.items()}
        self._rules = Rules(is_person=is_person, malformed=malformed, in_clear=configured.in_clear, level_of=level_of)
        self._made: dict[str, Route] = {}
        """By key, the oldest first."""
        self._left_out: dict[str, Route] = {}
        """Those of bridges that aren't configured: kept, for such a bridge may come back."""
        self._bridges: Mapping[BridgeName, Bridge] = {}
        self._apply: Callable[[RoutingTable], None] = lambda _: None
        self._one_at_a_time = asyncio.Lock()
        self._steps: set[asyncio.Task[Any]] = set()
        """Under way: they end though nobody waits for them any more."""
        self.table = configured
        """The routes of the configuration, then those made in chats."""

    async def load(self) -> None:
        """Read what was decided in earlier runs; before bridges are built."""
        for decision in await self._decisions.of(ROUTE):
            route = route_of(decision.value, by=decision.by, at_ms=decision.at_ms)
            if route is None or any(end.bridge not in self._kinds for end in route.ends):
                # Kept: the bridge, or the release that can read it, may come back.
                log.warning("route_left_out", key=decision.key, reason="unreadable" if route is None else _gone(route))
                self._left_out |= {} if route is None else {decision.key: route}
            else:
                self._made[decision.key] = route
        self.table = self._tabled()

    async def dated_anew(self) -> None:
        """Read the times again: the clock was set, and the journal has followed."""
        await self._whole(self._dated_anew)

    async def _dated_anew(self) -> None:
        at_ms = {decision.key: decision.at_ms for decision in await self._decisions.of(ROUTE)}
        self._made = {key: replace(route, at_ms=at_ms.get(key, route.at_ms)) for key, route in self._made.items()}
        self.table = self._tabled()
        self._apply(self.table)

    def begin(self, bridges: Mapping[BridgeName, Bridge], apply: Callable[[RoutingTable], None]) -> None:
        """From now on let changes take effect: `apply` is called with each new table, then the bridges are told."""
        self._bridges, self._apply = bridges, apply

    def conversations(self, bridge: BridgeName) -> tuple[RoutedConversation, ...]:
        """Return what a bridge knows as its routed conversations."""
        mine = sorted({address.conversation for address in self.table.addresses() if address.bridge == bridge})
        return tuple(
            RoutedConversation(name=name, exposed_to=self.table.exposed_to(Address(bridge, name))) for name in mine
        )

    def formerly(self, room: Address, person: Address) -> Address | None:
        """See `gateway.counterparts.Formerly`: ``direct`` names a user, and the room is where we write to them."""
        there = self.table.direct.get(person.bridge)
        if there is None or there == room or there.bridge != room.bridge or not self._rules.person_in((there,)):
            return None
        return there if room in self.table.chats(person) else None

    # gateway.model.Desk

    async def answer(self, asked: Asked) -> str:
        """Decline: this desk takes no commands."""
        raise Declined(f"{asked.words.split(' ')[0]}: there are no commands here")

    def resolve(self, there: str) -> Address:
        """See `gateway.model.Desk`."""
        offered = (
            Address(name, conversation)
            for name, bridge in self._bridges.items()
            if isinstance(bridge, Offers)
            for conversation in bridge.conversations()
        )
        nodes = ((name, node) for name, bridge in self._directories() for node in bridge.nodes())
        known = {*self.table.addresses(), *offered}
        return meant(there, bridges=self._rules.is_person, conversations=known, nodes=nodes)

    def has_met(self, person: Address) -> bool:
        """See `gateway.model.Desk`."""
        directory = dict(self._directories()).get(person.bridge)
        if directory is None or person in self.table.addresses():
            return True
        return any(node.id == person.conversation for node in directory.nodes())

    def _directories(self) -> Iterator[tuple[BridgeName, Directory]]:
        return ((name, bridge) for name, bridge in self._bridges.items() if isinstance(bridge, Directory))

    async def join(self, here: Address, there: Address, *, by: SenderId, direct: bool = False) -> Joined:
        """See `gateway.model.Desk`. What is joined already, by the file too, is returned as it is."""
        wish = Wish(here=self._spelled(here), there=self._spelled(there), by=by, direct=direct)
        self._rules.check(wish)
        return await self._whole(lambda: self._join(wish))

    async def part(
        self, here: Address, there: Address | None = None, *, by: SenderId | None = None
    ) -> Sequence[Joined]:
        """See `gateway.model.Desk`. Declined to whoever asks: what isn't joined, or is by the file, or isn't theirs."""
        end = None if there is None else self._spelled(there)
        return await self._whole(lambda: self._part(self._spelled(here), end, by))

    def joined(self, here: Address) -> Sequence[Joined]:
        """See `gateway.model.Desk`."""
        end = self._spelled(here)
        return self._told(route for route in self.table.routes if end in route.ends)

    # How.

    def _spelled(self, end: Address) -> Address:
        bridge = self._bridges.get(end.bridge)
        return Address(end.bridge, bridge.spelled(end.conversation)) if isinstance(bridge, Offers) else end

    async def _whole(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do a step whole, one after the other, though who asked for it goes away in the middle."""

        async def one() -> T:
            async with self._one_at_a_time:
                try:
                    return await work()
                except JournalError as error:
                    raise Declined(f"it can't be kept now: {error}") from error

        step = asyncio.create_task(one(), name="reroute")
        self._steps.add(step)
        step.add_done_callback(self._steps.discard)
        return await asyncio.shield(step)

    async def _join(self, wish: Wish) -> Joined:
        ends = (wish.here, wish.there)
        # Whoever asked for a chat of many with somebody gets one in private: their network has no other.
        wish = replace(wish, direct=wish.direct or self._rules.person_in(ends))
        present = next(
            (route for route in self.table.routes if route.joins(*ends) and route.direct >= wish.direct), None
        )
        if present is not None:
            return joined(present, self.table.in_clear)
        people = [end for end in ends if self._rules.person_in((end,))]
        check_room(wish, self._made.values(), people=people, is_bounded=self._rules.is_bounded(wish.by))
        route = Route(
            name=name_of(wish, (route.name for route in self.table.routes)),
            sources=ends,
            targets=ends,
            direct=wish.direct,
            by=wish.by,
            at_ms=self._clock.now_ms(),
        )
        await self._keep(route)
        return joined(route, self.table.in_clear)

    async def _keep(self, route: Route) -> None:
        key, by, at_ms = key_of(*route.ends), route.by or SenderId(""), route.at_ms or 0
        await self._decisions.keep(Decision(kind=ROUTE, key=key, by=by, at_ms=at_ms, value=value_of(route)))
        self._made[key] = route
        self._take_effect(route)
        log.info("route_made", route=route.name, ends=list(map(str, route.ends)), direct=route.direct, by=by)

    async def _part(self, here: Address, there: Address | None, by: SenderId | None) -> Sequence[Joined]:
        mine = {key: one for key, one in self._made.items() if _has(one, here, there)}
        if by is not None:
            self._check_parting(here, there, by, mine.values())
        else:
            await self._forget_left_out(here, there)
        for key, route in mine.items():
            # One by one, each whole: the disk may fail between two of them.
            await self._decisions.drop(ROUTE, key)
            del self._made[key]
            self._take_effect(route)
            log.info("route_ended", route=route.name, ends=list(map(str, route.ends)), by=by or "")
        return self._told(mine.values())

    async def _forget_left_out(self, here: Address, there: Address | None) -> None:
        """The conversation is gone: what waits for a bridge to come back must not lead there then."""
        for key in [key for key, route in self._left_out.items() if _has(route, here, there)]:
            await self._decisions.drop(ROUTE, key)
            log.info("route_ended", route=self._left_out.pop(key).name, by="")

    def _check_parting(self, here: Address, there: Address | None, by: SenderId, made: Iterable[Route]) -> None:
        routes = tuple(made)
        for route in routes:
            if route.by != by:
                self._rules.check_level(by, route.ends, direct=route.direct)
        if routes:
            return
        if names := ", ".join(route.name for route in self.table.routes if _has(route, here, there)):
            raise Declined(f"the configuration file says so ({names}): only its operator can end that, there")
        raise Declined(f"{here} is not joined" + ("" if there is None else f" with {there}"))

    def _take_effect(self, changed: Route) -> None:
        self.table = self._tabled()
        self._apply(self.table)
        concerned = {end.bridge for end in changed.ends}
        for name, bridge in self._bridges.items():
            if name in concerned and isinstance(bridge, Rerouted):
                self._tell(name, bridge)

    def _tell(self, name: BridgeName, bridge: Rerouted) -> None:
        try:
            bridge.reroute(self.conversations(name))
        except Exception:
            # The route is made: a defect in a bridge makes it none that isn't.
            log.exception("bridge_defect", bridge=name)

    def _tabled(self) -> RoutingTable:
        return replace(self._configured, routes=(*self._configured.routes, *self._made.values()))

    def _told(self, routes: Iterable[Route]) -> Sequence[Joined]:
        return tuple(joined(route, self.table.in_clear) for route in routes)


def _has(route: Route, here: Address, there: Address | None) -> bool:
    return here in route.ends and (there is None or there in route.ends)


def _gone(route: Route) -> str:
    return f"a bridge of {' and '.join(map(str, route.ends))} is not configured"
