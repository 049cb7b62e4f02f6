# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is joined and parted, and whenever the disk fails or the box dies: what holds is what is kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import ManualClock
from gateway.model import Address, BridgeKind, BridgeName, Declined, JournalError, Level, SenderId
from gateway.rerouting import Rerouting
from gateway.routing import Route, RoutingTable

ENDS = [Address.parse(text) for text in ("home/a", "home/b", "radio/c", "radio/!d", "radio/!e", "gone/f")]
KINDS = {
    BridgeName(name): BridgeKind(
        create=lambda _: None, check=lambda _: frozenset(), is_direct=lambda one: one.startswith("!")
    )
    for name in ("home", "radio")
}
PEOPLE = {"op": Level.COMMANDS, "ali": Level.TRANSMIT, "eve": Level.NONE}
FILE = RoutingTable(routes=(Route(name="file", sources=tuple(ENDS[1:3]), targets=tuple(ENDS[1:3])),))


class Disk:
    """Decisions in memory; `fails`: what the next writes do."""

    def __init__(self):
        self.kept = {}
        self.fails = False

    async def of(self, kind):
        return tuple(self.kept.values())

    async def keep(self, decision):
        await self._write()
        self.kept[decision.key] = decision

    async def drop(self, kind, key):
        await self._write()
        return self.kept.pop(key, None) is not None

    async def _write(self):
        await asyncio.sleep(0)
        if self.fails:
            raise JournalError("full")


def started(disk):
    return Rerouting(FILE, KINDS, disk, ManualClock(0), lambda sender: PEOPLE[sender])


ends = st.sampled_from(ENDS)
who = st.sampled_from(["op", "op", "op", "ali", "eve"])
fails = st.sampled_from([False, False, True])
steps = st.one_of(
    st.tuples(st.just("join"), ends, ends, who, fails),
    st.tuples(st.just("join"), ends, ends, who, fails),
    st.tuples(st.just("part"), ends, st.none() | ends, st.none() | who, fails),
    st.tuples(st.just("restart"), ends, ends, who, fails),
)


@given(st.lists(steps, min_size=10, max_size=40))
def test_what_holds_is_what_is_kept_and_each_pair_is_joined_once(plan):
    asyncio.run(follow(plan))


async def follow(plan):
    disk = Disk()
    desk = started(disk)
    for step, here, there, by, disk.fails in plan:
        with suppress(Declined):
            match step:
                case "join":
                    made = await desk.join(here, there, by=SenderId(by))
                    assert {here, there} <= set(made.ends)
                    assert by != "eve"
                case "part":
                    await desk.part(here, there, by=None if by is None else SenderId(by))
                case "restart":
                    desk = started(disk)
                    await desk.load()
        holds(desk, disk)


def named(route):
    return route.name


def holds(desk, disk):
    made = desk.table.routes[len(FILE.routes) :]
    assert {route.name for route in made} == {decision.value["name"] for decision in disk.kept.values()}
    assert len({frozenset(route.ends) for route in made}) == len(made)
    assert all(len(route.ends) == 2 and route.by for route in made)
    assert desk.table.routes[: len(FILE.routes)] == FILE.routes
    assert len({*map(named, desk.table.routes)}) == len(desk.table.routes)
    for route in made:
        assert route.direct == any(end.conversation.startswith("!") for end in route.ends)
