# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes made in chats: who may make and end them, that they hold at once and after a restart, whole or not at all."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway import joining
from gateway.journal import Decision, decisions
from gateway.model import (
    Address,
    Asked,
    BridgeKind,
    Declined,
    JournalError,
    Level,
    Node,
    RoutedConversation,
    SenderId,
    Topic,
)
from gateway.permissions import Permissions
from gateway.rerouting import Rerouting
from gateway.routing import Route, RoutingTable
from tests.contract.journal_desk import START_MS, opened

TOWN, LONGFAST = Address.parse("home/#town"), Address.parse("radio/LongFast")
ROOM, OTHER_ROOM, SHED = Address.parse("home/!room"), Address.parse("home/!other"), Address.parse("lan/shed")
KIM = Address.parse("radio/!a1b2c301")
OPERATOR, ALI, BEA, READER = map(SenderId, ("@op:x", "@ali:x", "@bea:x", "@reader:x"))
PERMISSIONS = Permissions.of(
    {"*": Level.TRANSMIT, OPERATOR: Level.COMMANDS, READER: Level.READ, "@nobody:x": Level.NONE}
)
KINDS = {
    ROOM.bridge: BridgeKind(
        create=lambda _: None, check=lambda _: frozenset(), is_direct=lambda c: c.startswith("@"), acknowledges=False
    ),
    KIM.bridge: BridgeKind(
        create=lambda _: None,
        check=lambda _: frozenset(),
        in_clear=True,
        is_direct=lambda c: c.startswith("!"),
        malformed=lambda c: "!ffffffff is no node" if c == "!ffffffff" else "",
    ),
    SHED.bridge: BridgeKind(create=lambda _: None, check=lambda _: frozenset(), is_direct=lambda c: c.startswith("~")),
}
FILE = RoutingTable(
    routes=(
        Route(name="town", sources=(TOWN, LONGFAST), targets=(TOWN, LONGFAST)),
        Route(name="news", sources=(SHED,), targets=(TOWN,)),
    ),
    direct={KIM.bridge: TOWN},
    in_clear=frozenset({KIM.bridge}),
)


class Radio:
    """A bridge that takes new routes, and knows nodes and channels."""

    def __init__(self):
        self.told = []
        self.defect = None

    def reroute(self, conversations):
        if self.defect is not None:
            raise self.defect
        self.told.append(conversations)

    def nodes(self):
        return (Node(id=SenderId(KIM.conversation), name="Kim", last_heard_ms=1),)

    def conversations(self):
        return ("LongFast", "Ops")

    def spelled(self, conversation):
        return "LongFast" if conversation == "#0" else conversation


class Desk:
    def __init__(self, journal, rerouting):
        self.journal, self.rerouting, self.radio = journal, rerouting, Radio()
        self.tables = []
        rerouting.begin({KIM.bridge: self.radio, ROOM.bridge: object()}, self.tables.append)

    @property
    def made(self):
        return self.rerouting.table.routes[len(FILE.routes) :]


@asynccontextmanager
async def running(folder, *, table=FILE, kinds=KINDS):
    """A desk over a journal, as a gateway's start makes it."""
    async with opened(folder) as journal:
        rerouting = Rerouting(table, kinds, journal.decisions, journal._clock, PERMISSIONS.level_of)
        await rerouting.load()
        yield Desk(journal, rerouting)


async def test_a_route_made_in_a_chat_holds_at_once_and_after_a_restart_with_who_and_when(tmp_path):
    async with running(tmp_path) as desk:
        made = await desk.rerouting.join(ROOM, Address.parse("radio/Ops"), by=OPERATOR)
        before = desk.rerouting.joined(ROOM)

        assert desk.tables[-1] is desk.rerouting.table
        assert desk.tables[-1].exposed_to(ROOM) == (Address.parse("radio/Ops"),)
    async with running(tmp_path) as desk:
        assert desk.rerouting.joined(ROOM) == before == (made,)
        assert (made.by, made.at_ms, made.direct) == (OPERATOR, START_MS, False)
        assert made.exposed_to == (Address.parse("radio/Ops"),)


async def test_a_route_made_in_a_chat_carries_alerts_and_places_besides_talk_after_a_restart_too(tmp_path):
    async with running(tmp_path) as desk:
        await desk.rerouting.join(ROOM, Address.parse("radio/Ops"), by=OPERATOR)
    async with running(tmp_path) as desk:
        (made,) = [route for route in desk.rerouting.table.routes if route.by == OPERATOR]
    assert {topic for topic in Topic if made.carries(topic)} == {*Topic} - {Topic.SENSOR, Topic.TELEMETRY}


async def test_a_route_made_before_the_clock_was_set_is_as_old_as_it_is(tmp_path):
    async with running(tmp_path) as desk:
        clock = desk.journal._clock
        await desk.rerouting.join(ROOM, LONGFAST, by=OPERATOR)
        clock.adopt(10**11)
        await desk.journal.upkeep.shift(10**11)
        await desk.rerouting.dated_anew()

        assert [one.at_ms for one in desk.made] == [clock.now_ms()]
        assert desk.tables[-1] is desk.rerouting.table


async def test_bridges_that_take_new_routes_are_told_all_of_theirs(tmp_path):
    async with running(tmp_path) as desk:
        await desk.rerouting.join(ROOM, KIM, by=ALI, direct=True)
        await desk.rerouting.join(ROOM, SHED, by=OPERATOR)

        assert desk.radio.told == [(RoutedConversation(name="!a1b2c301"), RoutedConversation(name="LongFast"))]
        assert desk.rerouting.conversations(ROOM.bridge) == (
            RoutedConversation(name="!room"),
            RoutedConversation(name="#town", exposed_to=(LONGFAST,)),
        )


async def test_a_defect_in_a_bridge_that_is_told_makes_the_route_none_that_isnt(tmp_path):
    async with running(tmp_path) as desk:
        desk.radio.defect = ZeroDivisionError()
        made = await desk.rerouting.join(ROOM, KIM, by=ALI, direct=True)

        assert desk.rerouting.joined(ROOM) == (made,)


async def test_joining_again_from_either_end_returns_what_is_there_the_files_too(tmp_path):
    async with running(tmp_path) as desk:
        made = await desk.rerouting.join(ROOM, KIM, by=ALI, direct=True)

        assert await desk.rerouting.join(KIM, ROOM, by=BEA, direct=True) == made
        assert (await desk.rerouting.join(TOWN, LONGFAST, by=OPERATOR)).route == "town"
        assert len(desk.made) == 1


async def test_what_the_file_joins_one_way_can_be_joined_both_ways(tmp_path):
    async with running(tmp_path) as desk:
        assert (await desk.rerouting.join(TOWN, SHED, by=OPERATOR)).by == OPERATOR


async def test_another_spelling_of_a_conversation_is_the_same_conversation(tmp_path):
    async with running(tmp_path) as desk:
        assert (await desk.rerouting.join(TOWN, Address.parse("radio/#0"), by=OPERATOR)).route == "town"
        made = await desk.rerouting.join(ROOM, Address.parse("radio/#0"), by=OPERATOR)

        assert made.ends == (ROOM, LONGFAST)
        assert made in desk.rerouting.joined(Address.parse("radio/#0"))
        assert await desk.rerouting.part(ROOM, Address.parse("radio/#0"), by=OPERATOR) == (made,)


async def test_two_who_ask_at_once_make_one_route(tmp_path):
    async with running(tmp_path) as desk:
        one, two = await asyncio.gather(*(desk.rerouting.join(ROOM, KIM, by=who, direct=True) for who in (ALI, BEA)))

        assert one == two
        assert len(await desk.journal.decisions.of("route")) == 1


async def test_what_is_joined_with_one_person_is_a_direct_chat_however_it_was_asked_for(tmp_path):
    async with running(tmp_path) as desk:
        assert (await desk.rerouting.join(ROOM, KIM, by=OPERATOR)).direct
        assert desk.rerouting.table.chats(KIM) == (ROOM,)


@pytest.mark.parametrize(
    ("ends", "by", "direct", "reason"),
    [
        ((ROOM, LONGFAST), ALI, False, "that takes the permission commands; @ali:x has transmit"),
        ((ROOM, KIM), ALI, False, "that takes the permission commands"),
        ((Address.parse("home/@ali:x"), LONGFAST), ALI, True, "that takes the permission commands"),
        ((ROOM, KIM), READER, True, "that takes the permission transmit; @reader:x has read"),
        ((ROOM, Address.parse("lan/~kim")), "@nobody:x", True, "that takes the permission read"),
        ((ROOM, ROOM), OPERATOR, False, "can't be joined to itself"),
        ((ROOM, LONGFAST), OPERATOR, True, "neither home/!room nor radio/LongFast is a chat with one person"),
        ((ROOM, Address.parse("cellar/x")), OPERATOR, False, "no bridge called cellar; there is: home, radio, lan"),
        ((ROOM, Address.parse("radio/!ffffffff")), ALI, True, "!ffffffff is no node"),
        ((ROOM, Address.parse("lan/a\x1b[2Jb")), OPERATOR, False, "there is no such conversation on lan"),
        ((Address.parse(f"lan/{'x' * 256}"), ROOM), OPERATOR, False, "there is no such conversation on lan"),
    ],
)
async def test_what_makes_no_sense_or_isnt_theirs_is_declined_and_changes_nothing(tmp_path, ends, by, direct, reason):
    async with running(tmp_path) as desk:
        with pytest.raises(Declined) as declined:
            await desk.rerouting.join(*ends, by=SenderId(by), direct=direct)

        assert reason in str(declined.value)
        assert (desk.tables, await desk.journal.decisions.of("route")) == ([], ())


async def test_a_direct_chat_that_reaches_no_clear_network_takes_only_read(tmp_path):
    async with running(tmp_path) as desk:
        assert (await desk.rerouting.join(ROOM, Address.parse("lan/~kim"), by=READER, direct=True)).direct


async def test_one_conversation_is_joined_with_so_many_and_one_person_makes_so_many_chats(tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "MOST_WITH_ONE", 3)
    monkeypatch.setattr(joining, "MOST_BY_ONE", 2)
    rooms = [Address(ROOM.bridge, f"!{number}") for number in range(5)]
    async with running(tmp_path) as desk:
        for room in rooms[:2]:
            await desk.rerouting.join(room, KIM, by=ALI, direct=True)
        with pytest.raises(Declined, match="you have made 2 direct chats already"):
            await desk.rerouting.join(rooms[2], KIM, by=ALI, direct=True)
        await desk.rerouting.join(rooms[2], KIM, by=OPERATOR, direct=True)
        with pytest.raises(Declined, match=r"radio/!a1b2c301 is joined with 3 others in chats already"):
            await desk.rerouting.join(rooms[3], KIM, by=BEA, direct=True)


async def test_nobody_takes_all_the_chats_that_one_person_may_have(tmp_path):
    async with running(tmp_path) as desk:
        for n in range(joining.MOST_BY_ONE_WITH_ONE):
            await desk.rerouting.join(Address.parse(f"home/!{n}"), KIM, by=ALI, direct=True)
        with pytest.raises(Declined, match="5 direct chats with radio/!a1b2c301 already"):
            await desk.rerouting.join(ROOM, KIM, by=ALI, direct=True)
        await desk.rerouting.join(ROOM, Address.parse("radio/!00000001"), by=ALI, direct=True)
        await desk.rerouting.join(ROOM, KIM, by=BEA, direct=True)
        await desk.rerouting.join(OTHER_ROOM, KIM, by=OPERATOR, direct=True)


async def test_parting_ends_what_was_joined_in_chats_for_good(tmp_path):
    async with running(tmp_path) as desk:
        one = await desk.rerouting.join(ROOM, KIM, by=ALI, direct=True)
        two = await desk.rerouting.join(SHED, ROOM, by=OPERATOR)
        other = await desk.rerouting.join(OTHER_ROOM, KIM, by=BEA, direct=True)

        assert await desk.rerouting.part(ROOM, KIM, by=ALI) == (one,)
        assert desk.rerouting.table.chats(KIM) == (OTHER_ROOM,)
        assert await desk.rerouting.part(ROOM) == (two,)
        assert await desk.rerouting.part(ROOM) == ()
        assert desk.radio.told[-1] == (
            RoutedConversation(name="!a1b2c301"),
            RoutedConversation(name="LongFast"),
        )
    async with running(tmp_path) as desk:
        assert [route.name for route in desk.made] == [other.route]


@pytest.mark.parametrize(
    ("here", "there", "by", "reason"),
    [
        (TOWN, LONGFAST, OPERATOR, r"the configuration file says so \(town\)"),
        (TOWN, None, OPERATOR, r"the configuration file says so \(town, news\)"),
        (OTHER_ROOM, None, OPERATOR, "home/!other is not joined"),
        (ROOM, LONGFAST, OPERATOR, "home/!room is not joined with radio/LongFast"),
        (ROOM, SHED, ALI, "that takes the permission commands"),
        (ROOM, None, ALI, "that takes the permission commands"),
    ],
)
async def test_what_cant_be_parted_says_why(tmp_path, here, there, by, reason):
    async with running(tmp_path) as desk:
        await desk.rerouting.join(ROOM, SHED, by=OPERATOR)
        with pytest.raises(Declined, match=reason):
            await desk.rerouting.part(here, there, by=by)

        assert len(desk.made) == 1


async def test_whoever_made_a_route_may_end_it_whatever_they_may_now(tmp_path):
    async with running(tmp_path) as desk:
        await desk.rerouting.join(ROOM, SHED, by=OPERATOR)
    async with opened(tmp_path) as journal:
        rerouting = Rerouting(FILE, KINDS, journal.decisions, journal._clock, lambda _: Level.READ)
        await rerouting.load()

        assert len(await rerouting.part(ROOM, SHED, by=OPERATOR)) == 1


async def test_a_crash_between_the_decision_and_its_effect_leaves_the_decision(tmp_path, monkeypatch):
    """The step in between is what a start does anyway."""

    class Crash(BaseException):
        """The process is gone."""

    def crash(*_):
        raise Crash

    async with running(tmp_path) as desk:
        kept = await desk.rerouting.join(OTHER_ROOM, KIM, by=ALI, direct=True)
        monkeypatch.setattr(desk.rerouting, "_take_effect", crash)
        for step in (
            desk.rerouting.join(ROOM, KIM, by=ALI, direct=True),
            desk.rerouting.part(OTHER_ROOM, KIM, by=ALI),
        ):
            with pytest.raises(Crash):
                await step
        assert desk.tables == [desk.rerouting.table]
    async with running(tmp_path) as desk:
        assert kept.route not in [route.name for route in desk.made]
        assert desk.rerouting.table.chats(KIM) == (ROOM,)


async def test_who_asked_and_goes_away_in_the_middle_leaves_no_half_of_it(tmp_path):
    async with running(tmp_path) as desk:
        asking = asyncio.create_task(desk.rerouting.join(ROOM, KIM, by=ALI, direct=True))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await desk.rerouting.join(ROOM, KIM, by=BEA, direct=True)

        (kept,) = await desk.journal.decisions.of("route")
        (live,) = desk.made
        assert (kept.by, live.by) == (ALI, ALI)


async def test_while_the_disk_keeps_nothing_nothing_is_joined_or_parted(tmp_path, monkeypatch):
    async with running(tmp_path) as desk:
        await desk.rerouting.join(OTHER_ROOM, KIM, by=ALI, direct=True)

        async def full(*_):
            raise JournalError("the journal's disk is full")

        monkeypatch.setattr(decisions.Decisions, "keep", full)
        monkeypatch.setattr(decisions.Decisions, "drop", full)
        with pytest.raises(Declined, match="it can't be kept now: the journal's disk is full"):
            await desk.rerouting.join(ROOM, KIM, by=ALI, direct=True)
        with pytest.raises(Declined, match="it can't be kept now"):
            await desk.rerouting.part(OTHER_ROOM, KIM, by=ALI)

        assert desk.rerouting.table.chats(KIM) == (OTHER_ROOM,)


async def test_a_route_whose_bridge_is_not_configured_any_more_waits_for_it_to_come_back(tmp_path):
    async with running(tmp_path) as desk:
        await desk.rerouting.join(ROOM, SHED, by=OPERATOR)
    without = {name: kind for name, kind in KINDS.items() if name != SHED.bridge}
    async with running(tmp_path, table=RoutingTable(routes=FILE.routes[:1]), kinds=without) as desk:
        assert [route.name for route in desk.rerouting.table.routes] == ["town"]
    async with running(tmp_path) as desk:
        assert len(desk.made) == 1


async def test_a_route_that_waits_for_its_bridge_ends_when_its_room_is_gone_meanwhile(tmp_path):
    async with running(tmp_path) as desk:
        await desk.rerouting.join(ROOM, SHED, by=OPERATOR)
        await desk.rerouting.join(OTHER_ROOM, SHED, by=OPERATOR)
    without = {name: kind for name, kind in KINDS.items() if name != SHED.bridge}
    async with running(tmp_path, table=RoutingTable(routes=FILE.routes[:1]), kinds=without) as desk:
        await desk.rerouting.part(ROOM)
    async with running(tmp_path) as desk:
        assert [route.ends for route in desk.made] == [(OTHER_ROOM, SHED)]


@pytest.mark.parametrize(
    "value",
    [{}, {"ends": ["home/!room"], "direct": True, "name": "x"}, {"ends": ["home", "x/"], "direct": True, "name": "x"}],
)
async def test_a_decision_that_cant_be_read_is_left_out_and_kept(tmp_path, value):
    async with opened(tmp_path) as journal:
        await journal.decisions.keep(Decision(kind="route", key="k", by=ALI, at_ms=1, value=value))
    async with running(tmp_path) as desk:
        assert desk.made == ()
        assert len(await desk.journal.decisions.of("route")) == 1


async def test_names_are_found_among_routes_channels_and_nodes(tmp_path):
    async with running(tmp_path) as desk:
        assert [str(desk.rerouting.resolve(there)) for there in ("#town", "ops", "kim", "shed")] == [
            "home/#town",
            "radio/Ops",
            "radio/!a1b2c301",
            "lan/shed",
        ]


async def test_who_was_heard_or_is_named_by_a_route_is_met(tmp_path):
    stranger, guest = Address.parse("radio/!0000beef"), Address.parse("lan/~bea@box")
    async with running(tmp_path) as desk:
        assert [desk.rerouting.has_met(person) for person in (KIM, stranger, guest)] == [True, False, True]
        await desk.rerouting.join(ROOM, stranger, by=ALI, direct=True)
        assert desk.rerouting.has_met(stranger)


async def test_a_name_that_is_taken_is_no_other_routes(tmp_path):
    async with running(tmp_path) as desk:
        first = (await desk.rerouting.join(ROOM, KIM, by=ALI, direct=True)).route
    table = RoutingTable(routes=(Route(name=first, sources=(TOWN,), targets=(SHED,)),), in_clear=FILE.in_clear)
    (tmp_path / "anew").mkdir()
    async with running(tmp_path / "anew", table=table) as desk:
        second = (await desk.rerouting.join(ROOM, KIM, by=ALI, direct=True)).route

        assert second != first
        assert second.startswith("chat-")


async def test_commands_are_declined_where_there_are_none(tmp_path):
    async with running(tmp_path) as desk:
        with pytest.raises(Declined, match="help: there are no commands here"):
            await desk.rerouting.answer(Asked(sender=ALI, words="help me", at=ROOM))
