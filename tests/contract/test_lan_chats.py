# SPDX-License-Identifier: GPL-3.0-or-later
"""Chats of people at a page with a radio node end when they are silent for long, and make room where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from bridges.lan import kind
from bridges.lan.bridge import LanBridge
from bridges.lan.chats import DAY_MS, SILENT_MS
from bridges.lan.introductions import NO_ROOM
from gateway import joining
from gateway.clock import ManualClock
from gateway.model import Address, BridgeKind, BridgeName, Level, Message, Node, SenderId
from gateway.rerouting import Rerouting
from gateway.routing import Route, RoutingTable
from tests.contract.journal_desk import START_MS, opened
from tests.contract.lan_box import LAN, TOWN, LanBox, join, said

RADIO = BridgeName("radio")
NODE, OTHER = "!a1b2c301", "!a1b2c302"
TOWN_ROUTE = Route(name="town", sources=(TOWN,), targets=(TOWN,))
KINDS = {
    LAN: kind,
    RADIO: BridgeKind(
        create=lambda _: None,  # type: ignore[arg-type,return-value]
        check=lambda _: frozenset(),
        in_clear=True,
        is_direct=lambda name: name.startswith("!"),
    ),
}


class Radio:
    """Knows two nodes."""

    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(id=SenderId(node), name=node, last_heard_ms=1) for node in (NODE, OTHER))


class Box:
    """A LAN bridge, and the routes people make."""

    def __init__(self, lan: LanBox, bridge: LanBridge, routes: Rerouting, clock: ManualClock) -> None:
        self.lan, self.bridge, self.routes, self.clock = lan, bridge, routes, clock

    async def write(self, nick: str, node: str = NODE) -> bool:
        """Write to a node; whether it is carried."""
        line = await said(self.bridge, join(self.bridge, nick), f"/msg {node} hello")
        last = await said(self.bridge, join(self.bridge, nick), "and hello all")
        self.clock.advance(600)  # the pace of radio
        found = []
        async with asyncio.timeout(5), aclosing(self.bridge.receive()) as messages:
            async for message in messages:
                assert isinstance(message, Message)
                found.append(message.native_id)
                if message.native_id == last.id:
                    return line.id in found
        raise AssertionError(found)

    async def retain(self) -> None:
        await self.bridge._diary._retain()

    @property
    def chats(self) -> list[str]:
        return [route.ends[0].conversation.partition("@")[0] for route in self.routes.table.routes if route.by]


@asynccontextmanager
async def running(folder: Path, table: RoutingTable) -> AsyncIterator[Box]:
    clock = ManualClock(START_MS)
    lan = LanBox(folder / "lan")
    lan.folder.mkdir()
    lan.clock = clock
    async with opened(folder) as journal:
        routes = Rerouting(table, KINDS, journal.decisions, clock, lambda _: Level.TRANSMIT)
        async with lan.running(desk=routes) as bridge:
            routes.begin({LAN: bridge, RADIO: Radio()}, lambda _: None)  # type: ignore[dict-item]
            yield Box(lan, bridge, routes, clock)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path, RoutingTable(routes=(TOWN_ROUTE,), in_clear=frozenset({RADIO}))) as made:
        yield made


async def test_one_ends_when_whoever_is_at_the_page_wrote_nothing_for_as_long_as_a_nickname_is_kept(box: Box) -> None:
    assert await box.write("ali")
    box.clock.advance(SILENT_MS / 2000)
    assert await box.write("bo")
    await box.retain()
    assert box.chats == ["~ali", "~bo"]
    box.clock.advance(SILENT_MS / 2000)
    await box.retain()
    assert (box.chats, box.lan.counts["lan_chat_ended"]) == (["~bo"], 1)
    assert await box.write("ali")
    assert box.chats == ["~bo", "~ali"]


async def test_a_log_that_lost_what_was_written_ends_no_chat_before_its_time(box: Box) -> None:
    assert await box.write("ali")
    rooms = box.bridge._diary.rooms
    assert rooms is not None
    rooms.begin("nobody")
    await box.retain()
    assert box.chats == ["~ali"]


async def test_the_longest_silent_one_makes_room_for_another_with_that_node(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "MOST_WITH_ONE", 2)
    for nick, node in (("ali", NODE), ("bo", NODE), ("eve", OTHER)):
        assert await box.write(nick, node)
    box.clock.advance(2 * DAY_MS / 1000)
    assert await box.write("ali")
    assert await box.write("cai")
    assert box.chats == ["~ali", "~eve", "~cai"]
    assert box.lan.counts["lan_chat_made_room"] == 1


async def test_the_longest_silent_one_makes_room_for_another_of_the_same_person(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "MOST_BY_ONE", 1)
    assert await box.write("ali")
    box.clock.advance(2 * DAY_MS / 1000)
    assert await box.write("ali", OTHER)
    _, route = box.routes.table.routes
    assert [end.conversation for end in route.ends] == [f"~ali@hilltop/{OTHER}", OTHER]


async def test_one_in_which_somebody_wrote_within_a_day_makes_room_for_none_and_that_is_said(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "MOST_WITH_ONE", 1)
    assert await box.write("ali")
    assert not await box.write("bo")
    assert box.chats == ["~ali"]
    (line,) = await box.bridge.hall.lines("~bo@hilltop")
    assert line.state == f"radio/{NODE}: cancelled, {NO_ROOM}"


async def test_one_that_the_file_has_ends_never(tmp_path: Path) -> None:
    ends = (Address(LAN, f"~ali@hilltop/{NODE}"), Address(RADIO, NODE))
    filed = Route(name="filed", sources=ends, targets=ends, direct=True)
    async with running(tmp_path, RoutingTable(routes=(TOWN_ROUTE, filed), in_clear=frozenset({RADIO}))) as box:
        box.bridge.reroute(box.routes.conversations(LAN))
        assert await box.write("ali")
        box.clock.advance(2 * SILENT_MS / 1000)
        await box.retain()
        assert box.routes.table.routes == (TOWN_ROUTE, filed)
        assert not await box.bridge._introductions.chats.make_room(f"~bo@hilltop/{NODE}")
