# SPDX-License-Identifier: GPL-3.0-or-later
"""The front desk on a real journal: what people ask in chats, what they may, and what they are told."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from gateway.choosing import Schedule
from gateway.desk import FrontDesk
from gateway.desk.once import MOST
from gateway.journal import Change
from gateway.link import LinkState
from gateway.model import (
    Address,
    Airtime,
    Asked,
    BridgeName,
    Declined,
    Delivery,
    DeliveryId,
    Joined,
    JournalError,
    Location,
    Message,
    NativeId,
    Node,
    RemoteId,
    Sender,
    SenderId,
    State,
    Text,
)
from gateway.status import QueueStatus, StoreState
from tests.contract.desk import NODE, START_MS, open_desk
from tests.contract.scheduling import SchedulingBridge

PERMISSIONS = """
[permissions]
"*" = "read"
"@tx:x" = "transmit"
"@cmd:x" = "commands"
"@op:x" = "admin"
"@nobody:x" = "none"
"""
READER, CMD, OP = SenderId("@ali:x"), SenderId("@cmd:x"), SenderId("@op:x")
TOWN, RADIO, HILL = (Address.parse(one) for one in ("home/#town", "radio/LongFast", "radio/Hill"))
ALIS, BEAS, KIM = (Address.parse(one) for one in ("home/!ali", "home/!bea", "radio/!a1b2c301"))
SECRET = "meet me behind the mill"


class Routes:
    """The file's route of the town, two direct chats with one node, and nothing that can be made."""

    def joined(self, here):
        town = Joined(route="town", ends=(TOWN, RADIO), exposed_to=(RADIO,))
        chats = [Joined(route=f"chat {room}", ends=(room, KIM), direct=True) for room in (ALIS, BEAS)]
        return [one for one in (town, *chats) if here in one.ends]

    def resolve(self, there):
        return Address.parse(there)

    async def join(self, here, there, *, by, direct=False):
        return Joined(route="made", ends=(here, there), by=by, direct=direct)

    async def part(self, here, there=None, *, by=None):
        return self.joined(here)


class Box:
    """A gateway with its desk open."""

    def __init__(self, running):
        self.running = running
        self.journal = running.journal
        self.clock = running.clock
        self.counted = Counter()
        self.desk = self.started_anew()

    def started_anew(self):
        """A desk as it is after a restart of the gateway, on the same journal."""
        self.desk = FrontDesk(self.running.rulings, Routes(), count=lambda bridge, what: self.counted.update([what]))
        self.desk.open(self.running)
        return self.desk

    async def ask(self, words, by=READER, *, private=False, at=TOWN, id=None):
        return await self.desk.answer(Asked(sender=by, words=words, at=at, private=private, id=id))

    async def declined(self, words, by=READER, **how):
        with pytest.raises(Declined) as caught:
            await self.ask(words, by, **how)
        return str(caught.value)

    async def said(self, n, *to, origin=TOWN, by=READER, body=SECRET):
        """A message that was accepted; return it and its deliveries."""
        message = Message(
            native_id=NativeId(f"mx:${n}"),
            origin=origin,
            sender=Sender(id=by, name="Ali"),
            content=Text(body=body),
            received_ms=self.clock.now_ms(),
            remote_id=RemoteId(f"${n}"),
        )
        deliveries = [Delivery(message=replace(message, remote_id=None), to=one) for one in to]
        await self.journal.accept(message, deliveries)
        return message, deliveries

    async def dead(self, n, to, **how):
        """A dead letter's id."""
        _, (delivery,) = await self.said(n, to, **how)
        await self.running.fail(delivery.id, reason="too big")
        return delivery.id

    async def state(self, ident):
        return (await self.journal.standings([ident]))[ident].state


@pytest.fixture
async def box(tmp_path):
    async with open_desk(tmp_path, PERMISSIONS) as running:
        yield Box(running)


# Who may ask.


async def test_until_the_gateway_is_there_the_desk_says_so(box):
    desk = FrontDesk(box.running.rulings, Routes())

    with pytest.raises(Declined, match="still starting"):
        await desk.answer(Asked(sender=OP, words="status", at=TOWN))


async def test_who_may_nothing_is_told_nothing_but_that(box):
    assert "no permission" in await box.declined("status", SenderId("@nobody:x"))
    assert box.counted == {"command_declined": 1}


@pytest.mark.parametrize(
    "words",
    [
        "position x",
        "where-is x",
        "dead-letters",
        "dead-letter x",
        "redrive x",
        "cancel x",
        "mute !a1b2c301",
        "unmute x",
        "mutes",
        "drop x",
    ],
)
async def test_commands_of_a_higher_level_do_not_exist_for_a_reader(box, words):
    assert "there is no command" in await box.declined(words)


@pytest.mark.parametrize("words", ["drop x", "allow @ali:x admin", "forget @ali:x", "silence", "unsilence"])
async def test_what_is_for_admins_is_not_for_those_with_commands(box, words):
    assert "there is no command" in await box.declined(words, CMD, private=True)


async def test_help_shows_what_the_asker_may_and_no_more(box):
    assert {line.split(":")[0].split()[0] for line in (await box.ask("help")).splitlines()} == {
        "help", "status", "brief", "where", "routes", "nodes", "queue", "who",
    }  # fmt: skip
    assert "allow PATTERN LEVEL" in await box.ask("", OP)
    assert await box.ask("help nodes") == "nodes [NAME]: who was heard, the latest first; of one all"
    assert "no command 'allow'" in await box.declined("help allow")


async def test_a_journal_that_cannot_be_asked_is_said_in_words(box, monkeypatch):
    async def away(_):
        raise JournalError("the disk is full")

    monkeypatch.setattr(box.journal, "message", away)

    assert await box.declined("where 123") == "not now: the disk is full"


# What is.


async def test_status_is_everything_at_one_glance(box):
    await box.said(1, RADIO)
    await box.dead(2, RADIO)
    box.clock.advance(120)

    assert (await box.ask("status")).splitlines()[1:] == [
        "journal: up",
        "queue: up memory",
        "home (fake): up for 2 min; 0 waiting",
        "radio (fake): down for 2 min; the cable is out; 1 waiting, 1 dead letters",
        "shared with radio/LongFast (in clear, for everyone in range) by the route town",
    ]


async def test_brief_is_one_line_that_says_of_the_stores_only_what_is_amiss(box, monkeypatch):
    await box.said(1, RADIO)
    assert await box.ask("brief") == "hilltop: home up, radio down; 1 waiting"

    async def away():
        raise JournalError("the disk is full")

    box.running.queue_status = QueueStatus(state=StoreState.DOWN, reason="connection refused")
    monkeypatch.setattr(box.journal, "tally", away)
    assert await box.ask("brief") == "hilltop: home up, radio down; queue down"


async def test_status_says_what_is_down_and_that_no_route_is_here(box):
    box.running.queue_status = QueueStatus(state=StoreState.DOWN, reason="connection refused")
    box.running.states[BridgeName("home")] = LinkState.STOPPED
    await box.ask("mute !a1b2c301", CMD)

    said = (await box.ask("status", at=HILL)).splitlines()

    assert said[0].startswith("hilltop: crossband ")
    assert "queue: down: connection refused" in said
    assert said[-2:] == ["changed in chats: 0 permissions, 1 muted", "no route has radio/Hill"]


async def test_routes_say_what_is_shared_and_whose_doing_that_is(box):
    assert await box.ask("routes") == ("town: radio/LongFast (in clear, for everyone in range); by the configuration")


async def test_nodes_come_latest_first_and_are_searched(box):
    bea = Node(id=SenderId("!b0b0b0b0"), name="Bea\n on the hill", short_name="BEA", last_heard_ms=START_MS + 1000)
    silent = Node(id=SenderId("!c0c0c0c0"), name="", short_name="")
    box.running.known = [(BridgeName("radio"), one) for one in (NODE, bea, silent)]
    box.clock.advance(61)

    assert (await box.ask("nodes")).splitlines() == [
        "Bea on the hill (!b0b0b0b0) on radio: heard 1 min ago",
        "Kim (!a1b2c301) on radio: heard 1 min ago, SNR -3.5 dB, 1 hop",
        "unnamed (!c0c0c0c0) on radio: not heard",
    ]
    assert (await box.ask("nodes b")).splitlines()[0].startswith("Bea")
    assert await box.ask("nodes zoe") == "nobody with 'zoe' in name or id is known"


FULL = Node(
    id=SenderId("!a1b2c301"),
    name="Kim",
    short_name="KIM",
    former_names=("Kim's old radio",),
    hardware="TBEAM",
    role="ROUTER",
    last_heard_ms=START_MS,
    snr_db=-3.5,
    rssi_dbm=-101,
    hops=0,
    battery_percent=87,
    has_key=True,
    place=Location(latitude=47.07123, longitude=8.33456, altitude_m=1104),
    placed_ms=START_MS,
)


async def test_of_one_node_all_is_told_and_where_it_is_only_within_a_kilometre(box):
    lake = replace(FULL, last_heard_ms=START_MS - 3_600_000, snr_db=None, rssi_dbm=None, hops=3, via_mqtt=True)
    box.running.known = [
        (BridgeName("radio"), FULL),
        (BridgeName("lake"), lake),
        (BridgeName("radio"), replace(NODE, id=SenderId("!b0b0b0b0"), name="Kimberley")),
    ]
    whole = [
        "Kim (!a1b2c301), KIM",
        "formerly Kim's old radio",
        "it is TBEAM, ROUTER",
        "on radio: heard 0 s ago, SNR -3.5 dB, RSSI -101 dBm, 0 hops",
        "on lake: heard 1 h 0 min ago, 3 hops, over the internet",
        "battery 87 %",
        "its public key is known",
        "geo 47.07000,8.33940 ±1 km, told 0 s ago",
    ]

    for words in ("nodes kim", "nodes !a1b2c301", "nodes Kim's old RADIO", "nodes c301"):
        assert (await box.ask(words)).splitlines() == whole, words
    assert len((await box.ask("nodes ki")).splitlines()) == 2


async def test_where_a_node_is_exactly_is_told_to_admins_in_private_who_ask_for_it(box):
    box.running.known = [(BridgeName("radio"), FULL)]

    assert "geo 47.07123,8.33456, told" in await box.ask("nodes Kim exact", OP, private=True)
    assert "±1 km" in await box.ask("nodes Kim", OP, private=True)
    for who, private in ((OP, False), (CMD, True), (READER, True)):
        assert "to admins, in private" in await box.declined("nodes Kim exact", who, private=private)


async def test_two_nodes_that_may_be_meant_are_both_listed_with_their_ids(box):
    taker = replace(FULL, id=SenderId("!b0b0b0b0"), name="Kim's old radio", former_names=())
    box.running.known = [(BridgeName("radio"), FULL), (BridgeName("radio"), taker)]

    said = (await box.ask("nodes Kim's old radio")).splitlines()

    assert [line.split(" on ")[0] for line in said] == ["Kim (!a1b2c301)", "Kim's old radio (!b0b0b0b0)"]
    assert "say which: !a1b2c301 (formerly), !b0b0b0b0" in await box.declined("mute Kim's old radio", CMD)


async def test_what_a_node_may_is_asked_by_any_name_of_its_in_private(box):
    box.running.known = [(BridgeName("radio"), FULL)]
    await box.ask("mute kim", CMD)

    said = (await box.ask("who kim's OLD radio", CMD, private=True)).splitlines()

    assert said[0] == "!a1b2c301 (Kim): read, by * (file)"
    assert said[1].startswith("but nothing they say is carried: ")
    for who, private in ((CMD, False), (READER, True)):
        assert "told in private" in await box.declined("who kim", who, private=private)


async def test_a_node_is_muted_by_the_name_it_had_and_stays_so_under_the_next(box):
    box.running.known = [(BridgeName("radio"), FULL)]

    assert "nothing of !a1b2c301" in await box.ask("mute kim's old radio", CMD)
    assert box.running.rulings.muted(FULL.id)


async def test_many_nodes_are_cut_with_how_many_more_there_are(box):
    box.running.known = [
        (BridgeName("radio"), Node(id=SenderId(f"!{n:08x}"), name=f"n{n}", last_heard_ms=n)) for n in range(100)
    ]

    said = (await box.ask("nodes")).splitlines()

    assert (said[0][:4], len(said), said[-1]) == ("n99 ", 21, "… and 80 more")


async def test_the_queue_is_told_of_this_conversations_routes_and_in_private_of_all(box):
    await box.said(1, RADIO, HILL)
    await box.said(2, RADIO)
    box.clock.advance(100)

    assert (await box.ask("queue")).splitlines() == [
        "home/#town: 0 waiting",
        "radio/LongFast: 2 waiting, the oldest <5m; the cable is out",
    ]
    assert await box.ask("queue", CMD) == await box.ask("queue", private=True) == await box.ask("queue")
    assert (await box.ask("queue", CMD, private=True)).splitlines() == [
        "home: 0 waiting",
        "radio: 3 waiting, the oldest for 1 min; the cable is out",
    ]
    assert await box.ask("queue radio") == "radio/LongFast: 2 waiting, the oldest <5m; the cable is out"
    assert "ask in private" in await box.declined("queue radio/Hill")
    assert (
        await box.ask("queue radio/Hill", CMD, private=True)
        == "radio/Hill: 1 waiting, the oldest <5m; the cable is out"
    )


async def test_what_a_radio_holds_back_is_told_with_why_in_status_queue_and_where(box):
    air = Airtime(used_ms=9000, allowed_ms=180_000, window_s=3600, held="the channel is busy: 31 %")
    box.running.states[BridgeName("radio")] = LinkState.UP
    box.running.schedules[BridgeName("radio")] = Schedule(airtime=air, held_for_s=42.0, held_s=42.0, refused=0)
    box.running.narrow[BridgeName("radio")] = SchedulingBridge()
    message, _ = await box.said(1, RADIO)

    assert (
        "radio: 9.0 of 180.0 s airtime used in the last hour, 171.0 s left; held back for 42 s: "
        "the channel is busy: 31 %; what waits takes about 20 s" in (await box.ask("status")).splitlines()
    )
    assert "radio/LongFast: 1 waiting, the oldest <1m; the channel is busy: 31 %" in await box.ask("queue")
    assert (await box.ask(f"where {message.id}")).endswith("; it waits for: the channel is busy: 31 %")


# What became of a message.


async def test_where_tells_a_messages_whole_story_to_its_sender(box):
    message, (to_radio,) = await box.said(1, RADIO)
    box.clock.advance(2)
    now_ms = box.clock.now_ms()
    await box.journal.record([Change(id=to_radio.id, state=State.QUEUED, at_ms=now_ms)])
    box.clock.advance(30)
    gone = Change(id=to_radio.id, state=State.EXPIRED, at_ms=box.clock.now_ms(), reason="older than 6 h")
    await box.journal.record([gone])
    box.clock.advance(60)

    said = await box.ask("where last")

    assert said.splitlines() == [
        f"{message.id} of Ali in home/#town, received 1 min ago",
        "radio/LongFast: expired (older than 6 h) 1 min ago; before that waiting for 2.000 s, queued for 30 s",
    ]
    for name in (message.id, to_radio.id, "$1"):
        assert await box.ask(f"where {name}") == said
    assert SECRET not in said


async def test_what_waits_for_a_bridge_that_was_taken_out_of_the_file_is_said_to(box):
    message, _ = await box.said(1, Address.parse("gone/LongFast"))
    box.clock.advance(60)

    told = await box.ask(f"where {message.id}")

    assert told.endswith("waiting for 1 min so far; no bridge called gone is configured any more")


async def test_where_last_is_the_askers_own_last_one_here_and_in_private_their_last_one_anywhere(box):
    first, _ = await box.said(1, RADIO)
    await box.said(2, RADIO, by=CMD)
    last, _ = await box.said(3, TOWN, origin=RADIO)

    assert (await box.ask("where last")).startswith(first.id)
    assert (await box.ask("where last", private=True)).startswith(last.id)
    assert "nothing that you said" in await box.declined("where last", OP)


async def test_what_is_said_elsewhere_is_its_senders_and_the_commanders_in_private(box):
    message, _ = await box.said(1, HILL, origin=Address.parse("home/#council"), by=CMD)

    assert "no message" in await box.declined(f"where {message.id}")
    assert "no message" in await box.declined(f"where {message.id}", OP)
    assert (await box.ask(f"where {message.id}", CMD)).startswith(message.id)
    assert (await box.ask(f"where {message.id}", OP, private=True)).startswith(message.id)


# Dead letters.


async def test_dead_letters_are_told_without_their_text_but_to_admins_in_private(box):
    mine, other = await box.dead(1, RADIO), await box.dead(2, HILL, origin=HILL)
    box.clock.advance(60)

    line = f"{mine} to radio/LongFast, failed 1 min ago: too big; Ali in home/#town"
    assert await box.ask("dead-letters", OP) == await box.ask("dead-letters", CMD) == line
    assert SECRET not in await box.ask("dead-letters", CMD, private=True)
    assert (await box.ask("dead-letters", OP, private=True)).splitlines()[1] == f"{line}: {SECRET}"
    assert other in await box.ask("dead-letters", CMD, private=True)
    assert "no dead letter here" in await box.declined(f"dead-letter {other}", CMD)
    assert SECRET not in await box.ask(f"dead-letter {mine}", OP)
    assert (await box.ask(f"dead-letter {mine}", OP, private=True)).splitlines()[-1] == SECRET


async def test_as_many_dead_letters_are_told_as_are_asked_for(box):
    ids = [await box.dead(n, RADIO) for n in range(7)]

    few = (await box.ask("dead-letters 2", CMD, private=True)).splitlines()
    assert [line[:26] for line in few[:-1]] == ids[:-3:-1]
    assert few[-1] == "there may be more: dead-letters 20"
    assert len((await box.ask("dead-letters 20", CMD)).splitlines()) == 7
    assert "say how many" in await box.declined("dead-letters many", CMD)


async def test_a_dead_letter_is_sent_again_once_however_often_the_command_comes(box):
    ident = await box.dead(1, RADIO)

    assert "is sent again" in await box.ask(f"redrive {ident}", CMD)
    assert "no dead letter here" in await box.declined(f"redrive {ident}", CMD)
    assert await box.state(ident) is State.QUEUED


async def test_all_are_sent_again_only_by_admins_who_know_the_price(box):
    await box.dead(1, RADIO)
    assert "for admins" in await box.declined("redrive all", CMD)

    priced = await box.ask("redrive all", OP)
    assert "1 dead letters, 1 deliveries, 1 s on the air (LongFast)" in priced
    assert priced.endswith("redrive all yes")
    assert box.running.redrives.progress is None

    assert "1 dead letters are sent again" in await box.ask("redrive all yes", OP)
    assert "already" in await box.declined("redrive all yes", OP)


async def test_a_dead_letter_is_dropped_by_admins(box):
    ident = await box.dead(1, RADIO)

    assert "is dropped" in await box.ask(f"drop {ident}", OP)
    assert await box.state(ident) is State.CANCELLED


async def test_what_waits_is_taken_back_by_message_or_delivery(box):
    message, (to_radio, to_hill) = await box.said(1, RADIO, HILL)

    assert await box.ask(f"cancel {message.id}", CMD) == "1 cancelled"
    assert await box.state(to_radio.id) is State.CANCELLED
    assert await box.state(to_hill.id) is State.WAITING
    assert await box.ask(f"cancel {to_hill.id}", CMD, private=True) == "1 cancelled"
    assert "nothing of" in await box.declined(f"cancel {message.id}", CMD)


# Who may what, and who is muted.


async def test_who_tells_what_i_may_and_in_private_the_table(box):
    await box.ask("allow @ali:x commands", OP)
    box.clock.advance(60)

    assert await box.ask("who") == "you are @ali:x; your permission: commands, by @ali:x (made in a chat)"
    assert await box.ask("who", OP) == "you are @op:x; your permission: admin, by @op:x (file)"
    table = (await box.ask("who", OP, private=True)).splitlines()
    assert "*: read (file)" in table
    assert "@ali:x: commands (by @op:x, 1 min ago)" in table
    assert len((await box.ask("who", private=True)).splitlines()) == len(table)
    await box.ask("forget @ali:x", OP)
    assert await box.ask("who", private=True) == "you are @ali:x; your permission: read, by * (file)"


async def test_allowing_and_forgetting_say_what_is_so_now(box):
    assert await box.ask("allow @ali:x Commands", OP) == "@ali:x: commands from now on; forget @ali:x takes it back"
    assert (await box.ask("allow @ali:x commands", OP)).startswith("@ali:x: commands already")
    assert "is not a permission" in await box.declined("allow @ali:x king", OP)
    assert "say who and what" in await box.declined("allow @ali:x", OP)
    assert "is forgotten" in await box.ask("forget @ali:x", OP)
    assert "no chat made a rule" in await box.declined("forget @ali:x", OP)
    assert "only the file" in await box.declined("allow @op:x none", OP)


async def test_a_node_is_muted_by_its_name_for_a_time_and_shown_until_then(box):
    box.running.known = [(BridgeName("radio"), NODE)]

    said = await box.ask("mute kim for 1h", CMD)

    assert said == "nothing of !a1b2c301 (Kim) for 1 h 0 min is carried; unmute !a1b2c301 takes it back"
    assert await box.ask("mutes", CMD) == "!a1b2c301 (Kim) for 1 h 0 min, by @cmd:x 0 s ago"
    box.clock.advance(3600)
    assert await box.ask("mutes", CMD) == "nobody is muted"


async def test_muting_needs_one_who_is_known_or_an_id(box):
    twins = [Node(id=SenderId(f"!0000000{n}"), name="Kim") for n in (1, 2)]
    box.running.known = [(BridgeName("radio"), one) for one in twins]

    assert "say which: !00000001, !00000002" in await box.declined("mute Kim", CMD)
    assert "no node is called 'Zoe'" in await box.declined("mute Zoe", CMD)
    assert "allow @*:spam.org none" in await box.declined("mute @*:spam.org", CMD)
    assert "say who" in await box.declined("mute for 1h", CMD)
    assert await box.ask("unmute !00000001", CMD) == "!00000001 is not muted"
    await box.ask("mute !00000001", CMD)
    assert await box.ask("unmute !00000001", CMD) == "what !00000001 says is carried again"


@pytest.mark.parametrize("ident", ["@spam:x", "!0000beef", "~spam@box"])
async def test_a_node_that_calls_itself_by_the_id_of_another_keeps_nobody_from_being_muted(box, ident):
    box.running.known = [(BridgeName("radio"), replace(NODE, name=ident))]

    assert f"nothing of {ident} until" in await box.ask(f"mute {ident}", CMD)
    assert box.running.rulings.muted(SenderId(ident))


async def test_who_is_muted_is_told_so(box):
    await box.ask("mute @ali:x", CMD)

    assert (await box.ask("who")).splitlines()[1] == "but nothing you say is carried: the sender is muted"


# Direct chats.


async def test_in_one_direct_chat_nothing_is_told_of_anothers_with_the_same_person(box):
    mine, theirs = await box.dead(1, KIM, origin=ALIS), await box.dead(2, KIM, origin=BEAS)
    said, (waits,) = await box.said(3, KIM, origin=BEAS)
    answered, _ = await box.said(4, BEAS, origin=KIM)

    assert [line[:26] for line in (await box.ask("dead-letters", CMD, at=ALIS)).splitlines()] == [mine]
    for words in (f"dead-letter {theirs}", f"redrive {theirs}", f"where {said.id}", f"where {answered.id}"):
        assert "no" in await box.declined(words, CMD, at=ALIS)
    assert "nothing of" in await box.declined(f"cancel {waits.id}", CMD, at=ALIS)
    assert f"{KIM}: waiting" in await box.ask(f"where {said.id}", CMD, at=BEAS)
    assert mine in await box.ask("dead-letters", CMD, private=True)


async def test_a_direct_chat_tells_of_its_own_both_ways(box):
    said, _ = await box.said(1, KIM, origin=ALIS, by=OP)
    answered, _ = await box.said(2, ALIS, origin=KIM, by=OP)

    for one, to in ((said, KIM), (answered, ALIS)):
        assert f"{to}: waiting" in await box.ask(f"where {one.id}", at=ALIS)


# A command that comes twice.


async def test_a_command_that_comes_again_after_a_crash_does_not_undo_what_came_after_it(box):
    first, second = NativeId("mx:$1"), NativeId("mx:$2")
    await box.ask("allow @ali:x commands", OP, id=first)
    await box.ask("forget @ali:x", OP, id=second)
    box.started_anew()

    assert await box.ask("allow @ali:x commands", OP, id=first) == "that was done already"
    assert await box.ask("who") == "you are @ali:x; your permission: read, by * (file)"


async def test_a_command_that_was_declined_may_come_again(box):
    event = NativeId("mx:$1")
    assert "no chat made a rule" in await box.declined("forget @ali:x", OP, id=event)
    await box.ask("allow @ali:x commands", OP)

    assert "is forgotten" in await box.ask("forget @ali:x", OP, id=event)


async def test_the_last_commands_are_remembered_and_a_damaged_note_forgets_them_all(box):
    for n in range(MOST + 1):
        await box.ask(f"allow @n{n % 2}:x read", OP, id=NativeId(f"mx:${n}"))
    box.started_anew()
    assert await box.ask("forget @n0:x", OP, id=NativeId("mx:$1")) == "that was done already"
    assert "is forgotten" in await box.ask("forget @n0:x", OP, id=NativeId("mx:$0"))

    await box.journal.remember("desk", "{[")
    box.started_anew()
    assert "is forgotten" in await box.ask("forget @n1:x", OP, id=NativeId("mx:$1"))


async def test_a_look_is_answered_as_often_as_it_is_asked(box):
    for _ in range(2):
        assert (await box.ask("who", id=NativeId("mx:$1"))).startswith("you are")


# Routes.


async def test_wishes_for_routes_go_to_whoever_makes_them(box):
    assert box.desk.resolve("radio/Hill") == HILL
    assert (await box.desk.join(TOWN, HILL, by=OP, direct=True)).ends == (TOWN, HILL)
    assert [one.route for one in await box.desk.part(TOWN)] == ["town"]
    assert [one.route for one in box.desk.joined(TOWN)] == ["town"]


async def test_what_is_dead_is_a_delivery_that_is_known(box):
    """A guard on this file's own helper: a typing mistake in it would make tests pass for nothing."""
    assert await box.state(await box.dead(1, RADIO)) is State.FAILED
    assert DeliveryId("nothing") not in await box.journal.standings([DeliveryId("nothing")])


async def test_radio_silence_is_ordered_listed_with_who_and_taken_back(box):
    assert "for 1 h 0 min, or until unsilence" in await box.ask("silence for 1h", OP)
    assert box.running.rulings.silenced().startswith(f"radio silence, by {OP}")
    assert (await box.ask("mutes", OP)).startswith("radio silence for 1 h 0 min, by ")
    assert await box.ask("unsilence", OP) == "radio silence is over"
    assert (box.running.rulings.silenced(), await box.ask("unsilence", OP)) == ("", "there is no radio silence")
    assert "silence for 1h" in await box.declined("silence radio", OP)
