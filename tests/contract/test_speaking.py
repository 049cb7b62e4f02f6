# SPDX-License-Identifier: GPL-3.0-or-later
"""A core with a bridge between boxes: what it sends, leaves to others, takes over, and knows as an echo."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.clock import ManualClock
from gateway.echoes import ORIGINAL_WITHIN_S, Echoes
from gateway.journal import Accepted, Seen
from gateway.model import (
    Address,
    BridgeName,
    Delivery,
    Edit,
    Foreseen,
    Lane,
    LinkDown,
    Listen,
    Message,
    NativeId,
    Overheard,
    Redaction,
    Rejected,
    RemoteId,
    Said,
    Sender,
    SenderId,
    Speak,
    Support,
    Text,
    Utterance,
    key_of,
    message_id,
)
from gateway.speaking import Speaking
from gateway.withdrawing import COUNT_LEFT, COUNT_WITHDRAWN, REASON, Withdrawing
from tests.contract.delivery_desk import CHANNEL, ROOM, TABLE, ScriptedBridge, running_core

LAN = Address(BridgeName("lan"), "town")
MESH = "mt:EU_868/LongFast/LongFast/8f2c"


class CommonRadio(ScriptedBridge):
    turn_s = 0.3

    def common_name(self, conversation):
        return MESH if conversation == CHANNEL.conversation else None

    def native_of(self, remote_id):
        return NativeId(f"mt:us:{remote_id}")

    def remote_of(self, native_id):
        return RemoteId(native_id.rpartition(":")[2])

    def foresee(self, key):
        return Foreseen(remote_id=RemoteId(f"radio-{key}"), native_id=NativeId(f"mt:us:radio-{key}"))


class Others:
    """A `Chorus` that answers as a test says, and notes what it was told."""

    def __init__(self):
        self.answer = lambda _, waited_s, turn_s: Speak()
        self.asked = []
        self.overheard_s = []
        self.told = []
        self.echoes = {}
        self.names = {}
        self.served = []
        self.speaking = False
        self.broken = False

    def serve(self, common_names):
        self.served.append(common_names)

    def turn(self, utterance, *, waited_s, turn_s, at_home=False, amends=None, overheard_s=None):
        self.asked.append((utterance, at_home, amends))
        self.overheard_s.append(overheard_s)
        return self.answer(utterance, waited_s, turn_s)

    async def emitting(self, utterance, as_native):
        if self.broken:
            raise LinkDown("the log is full")
        self.told.append(("emitting", utterance, as_native))

    async def emitted(self, utterance, as_native):
        if self.broken:
            raise LinkDown("the log is full")
        self.told.append(("emitted", utterance, as_native))

    def vouches(self, as_native):
        return as_native in self.echoes

    def echoed(self, as_native):
        return self.echoes.get(as_native)

    def called(self, native_id):
        return self.names.get(native_id, ())

    def is_speaking(self, where):
        return self.speaking and where == MESH


@asynccontextmanager
async def among_others(folder, *, bridge=None, **options):
    bridge, others = bridge or CommonRadio(), Others()
    async with running_core(folder, bridge, **options) as core:
        bridges = {bridge.name: bridge, LAN.bridge: others}
        counted = []
        speaking = Speaking(bridges, core.clock, count=lambda _, kind: counted.append(kind))
        echoes = Echoes(speaking, core.journal, core.clock, count=lambda _, kind: counted.append(kind))
        core.intake.recognise, core.intake.arrived = echoes.recognise, speaking.arrived
        core.intake.planned = speaking.planned
        core.sender.speaking = speaking
        core.speaking = speaking
        core.counted = counted
        yield core, others


def heard(native, body="hello", *, at=CHANNEL):
    return Message(
        native_id=NativeId(native),
        origin=at,
        sender=Sender(id=SenderId("!0000000c"), name="other box"),
        content=Text(body=body),
        received_ms=1_800_000_000_000,
        remote_id=RemoteId(native.rpartition(":")[2]),
    )


async def test_what_is_ours_to_say_is_told_before_and_after_with_the_id_it_has_there(tmp_path):
    async with among_others(tmp_path) as (core, others):
        (ident,) = await core.say(1)
        assert await core.until(ident, "sent") == "sent"
        said = Utterance(native_id=NativeId("mx:$1"), where=MESH)
        native = NativeId(f"mt:us:radio-{core.bridge.keys[0]}")
        assert others.told == [("emitting", said, native), ("emitted", said, native)]
        assert others.asked[0] == (said, True, None)


async def test_while_another_box_comes_first_it_waits_with_the_reason_and_uses_up_no_attempt(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.answer = lambda *_: Listen(for_s=0.02, reason="box valley speaks first")
        (ident,) = await core.say(1)
        while len(others.asked) < 3 * 6:  # more often than there are attempts, besides those before a fold
            await core.clock.sleep(0.02)
        assert await core.state(ident) == "queued"
        assert (await core.history(ident)).count(("queued", "box valley speaks first")) == 1
        assert core.bridge.sent == []
        others.answer = lambda *_: Speak()
        await core.until(ident, "sent")
        assert core.bridge.texts == ["text 1"]


async def test_it_takes_over_when_the_one_before_it_has_been_silent_for_a_turn(tmp_path):
    async with among_others(tmp_path) as (core, others):

        def second(_, waited_s, turn_s):
            return Speak() if waited_s >= turn_s else Listen(for_s=turn_s - waited_s, reason="box valley speaks first")

        others.answer = second
        begun = core.clock.monotonic()
        (ident,) = await core.say(1)
        (later,) = await core.say(2)
        await core.until(later, "sent")
        assert await core.state(ident) == "sent"
        assert core.clock.monotonic() - begun >= core.bridge.turn_s
        assert core.bridge.texts == ["text 1", "text 2"]


async def test_an_emergency_waits_for_a_third_of_a_turn(tmp_path):
    async with among_others(tmp_path) as (core, others):
        turns = []
        others.answer = lambda _, __, turn_s: turns.append(turn_s) or Speak()
        (ident,) = await core.say(1, lane=Lane.EMERGENCY)
        await core.until(ident, "sent")
        assert set(turns) == {core.bridge.turn_s / 3}


async def test_another_conversation_goes_on_while_one_listens(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.answer = lambda *_: Listen(for_s=5, reason="box valley speaks first")
        (waits,) = await core.say(1)
        (goes,) = await core.say(2, origin=Address(ROOM.bridge, "#hill"))
        assert await core.until(goes, "sent") == "sent"
        assert await core.state(waits) == "queued"


async def test_what_another_box_said_ends_as_already_there(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.answer = lambda *_: Said(by="valley", native_id=NativeId("mt:them:7"))
        (ident,) = await core.say(1)
        await core.until(ident, "cancelled")
        assert (await core.history(ident))[-1] == ("cancelled", "already there: box valley said it")
        assert core.bridge.sent == []
        assert await core.outbox.depth([CHANNEL.bridge]) == ()
        assert await core.journal.counterpart(ROOM, RemoteId("$1"), CHANNEL) == "7"


async def test_an_echo_of_another_box_is_seen_and_ends_what_waits_to_be_said_there(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.answer = lambda *_: Listen(for_s=60, reason="box valley speaks first")
        (ident,) = await core.say(1)
        others.echoes[NativeId("mt:them:7")] = Utterance(native_id=NativeId("mx:$1"), where=MESH)
        result = await core.intake.accept(heard("mt:them:7"))
        assert isinstance(result, Seen)
        assert (await core.history(ident))[-1] == ("cancelled", "already there")
        assert core.counted == ["echo_of_another_box"]
        assert await core.journal.counterpart(CHANNEL, RemoteId("7"), ROOM) == "$1"
        assert (await core.journal.find(CHANNEL, RemoteId("7"))).message_id == message_id(NativeId("mx:$1"))


async def test_an_echo_of_one_part_ends_that_part_alone(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.answer = lambda *_: Listen(for_s=60, reason="box valley speaks first")
        first, second = await core.say(1, body="one " * 15)
        others.echoes[NativeId("mt:them:7")] = Utterance(native_id=NativeId("mx:$1"), where=MESH, part=1, parts=2)
        assert isinstance(await core.intake.accept(heard("mt:them:7")), Seen)
        assert [await core.state(first), await core.state(second)] == ["cancelled", "queued"]


async def test_an_echo_of_what_never_was_bound_for_there_is_seen_all_the_same(tmp_path):
    async with among_others(tmp_path) as (core, others):
        await core.say(1, origin=Address(ROOM.bridge, "#hill"))
        others.echoes[NativeId("mt:them:7")] = Utterance(native_id=NativeId("mx:$1"), where=MESH)
        assert isinstance(await core.intake.accept(heard("mt:them:7")), Seen)


async def test_what_was_heard_on_the_air_while_boxes_were_apart_is_no_news_when_they_meet(tmp_path):
    async with among_others(tmp_path) as (core, others):
        assert isinstance(await core.intake.accept(heard("mt:them:7")), Accepted)
        others.names[NativeId("web:valley/1")] = (NativeId("mt:them:7"),)
        assert isinstance(await core.intake.accept(heard("web:valley/1", at=LAN)), Seen)
        assert core.counted == ["heard_before_told"]
        assert (await core.journal.find(LAN, RemoteId("valley/1"))).message_id == message_id(NativeId("mt:them:7"))


async def test_what_comes_in_while_another_box_speaks_waits_for_its_id_but_not_for_ever(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.speaking = True
        begun = core.clock.monotonic()
        assert isinstance(await core.intake.accept(heard("mt:stranger:1")), Accepted)
        assert core.clock.monotonic() - begun >= core.bridge.turn_s


async def test_a_log_that_cannot_be_written_keeps_nothing_from_being_said(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.broken = True
        (ident,) = await core.say(1)
        await core.until(ident, "sent")
        assert core.counted == ["speaking_not_told", "speaking_not_told"]


async def test_a_conversation_that_is_ours_alone_is_never_asked_about(tmp_path):
    async with among_others(tmp_path) as (core, others):
        (ident,) = await core.say(1, origin=Address(ROOM.bridge, "#hill"))
        await core.until(ident, "sent")
        assert others.asked == []
        assert others.told == []


async def test_between_boxes_a_message_carries_where_it_was_said_and_a_correction_what_it_corrects(tmp_path):
    async with among_others(tmp_path) as (core, others):
        speaking = core.sender.speaking
        assert speaking.dressed(heard("mt:a:1"), LAN.bridge).said_in == MESH
        assert speaking.dressed(heard("mt:a:1"), CHANNEL.bridge).said_in is None
        assert speaking.dressed(heard("mx:$1", at=ROOM), LAN.bridge).said_in is None
        edit = replace(heard("web:b/2", at=LAN), content=Edit(target=RemoteId("web:b/1"), body="new"))
        speaking.turn(Delivery(message=edit, to=CHANNEL))
        assert others.asked[-1][1:] == (False, message_id(NativeId("web:b/1")))


async def test_it_tells_the_others_where_it_can_speak(tmp_path):
    async with among_others(tmp_path) as (core, others):
        core.sender.speaking.serve([CHANNEL, ROOM, Address(CHANNEL.bridge, "Hill")])
        assert others.served == [frozenset({MESH})]


async def test_of_a_digest_the_others_are_told_that_all_it_names_is_said(tmp_path):
    table = replace(TABLE, routes=(replace(TABLE.routes[0], digest_after_s={CHANNEL.bridge: 600}), *TABLE.routes[1:]))
    async with among_others(tmp_path, table=table) as (core, others):
        others.answer = lambda *_: Listen(for_s=0.05, reason="box valley speaks first")
        said_ms = core.clock.now_ms() - 3_600_000
        idents = [(await core.say(n, received_ms=said_ms))[0] for n in (1, 2, 3)]
        assert [await core.until(ident, "queued") for ident in idents] == ["queued"] * 3
        others.answer = lambda *_: Speak()
        assert [await core.until(ident, "sent", "folded") for ident in idents].count("folded") == 2
        await core.until(idents[-1], "sent")
        done = {utterance.native_id for word, utterance, _ in others.told if word == "emitted"}
        assert done == {"mx:$1", "mx:$2", "mx:$3"}


async def test_an_echo_that_is_faster_than_the_lan_waits_for_what_it_is_a_copy_of(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.answer = lambda *_: Listen(for_s=60, reason="box valley speaks first")
        others.echoes[NativeId("mt:them:7")] = Utterance(native_id=NativeId("mx:$1"), where=MESH)
        early = asyncio.create_task(core.intake.accept(heard("mt:them:7")))
        await asyncio.sleep(0.1)
        (ident,) = await core.say(1)
        assert isinstance(await early, Seen)
        assert await core.state(ident) == "cancelled"
        assert (await core.journal.message(message_id(NativeId("mx:$1")))).message.sender.name == "Ali"


async def test_echoes_of_what_is_never_told_here_are_not_waited_for_one_by_one(tmp_path):
    async with among_others(tmp_path) as (core, others):
        begun = core.clock.monotonic()
        for n in range(5):
            others.echoes[NativeId(f"mt:them:{n}")] = Utterance(native_id=NativeId(f"mx:${n}"), where=MESH)
            await core.intake.accept(heard(f"mt:them:{n}"))
        assert ORIGINAL_WITHIN_S <= core.clock.monotonic() - begun < 2 * ORIGINAL_WITHIN_S
        assert core.counted == ["echo_of_another_box"] * 5


async def test_a_box_that_says_it_is_speaking_for_ever_holds_nothing_up_for_longer_than_a_turn(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.speaking = True
        begun = core.clock.monotonic()
        for n in range(20):
            await core.intake.accept(heard(f"mt:them:{n}"))
        assert CommonRadio.turn_s <= core.clock.monotonic() - begun < 10 * CommonRadio.turn_s


def test_between_two_radios_of_this_box_nobody_else_is_asked():
    others, second = Others(), Address(BridgeName("radio2"), CHANNEL.conversation)
    speaking = Speaking(
        {CHANNEL.bridge: CommonRadio(), second.bridge: CommonRadio(), LAN.bridge: others}, ManualClock()
    )
    others.answer = lambda *_: Said(by="valley", native_id=None)
    assert speaking.turn(Delivery(message=heard("mt:a:1", at=second), to=CHANNEL)) == Speak()
    assert others.asked == []
    assert speaking.turn(Delivery(message=heard("web:a:1", at=LAN), to=CHANNEL)) != Speak()


async def test_what_is_heard_under_the_id_that_ours_would_have_is_left_alone(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.answer = lambda *_: Listen(for_s=0.05, reason="box valley speaks first")
        (ident,) = await core.say(1)
        message = (await core.journal.message(message_id(NativeId("mx:$1")))).message
        packet = f"mt:others:radio-{key_of(ident, 0)}"
        copy = replace(heard(packet), content=message.content)
        forged = replace(heard(packet, "something else"), native_id=NativeId("mt:forged:1"))
        assert isinstance(await core.intake.accept(forged), Accepted)
        assert isinstance(await core.intake.accept(copy), Seen)
        assert await core.until(ident, "cancelled") == "cancelled"
        assert core.bridge.sent == []
        assert core.counted == ["echo_of_another_box"]


async def test_what_another_box_is_overheard_to_have_said_is_left_alone_once_it_is_known_for_a_box(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.answer = lambda *_: Listen(for_s=0.05, reason="box valley speaks first")
        (ident,) = await core.say(1)
        there = Overheard(key=key_of(ident, 0), by="@valley:hs", remote_id=RemoteId("theirs"))
        core.speaking.overheard(CHANNEL, there)
        await core.clock.sleep(0.2)
        assert await core.state(ident) == "queued"
        others.echoes[NativeId("mt:us:before")] = Utterance(native_id=NativeId("mx:$0"), where=MESH)
        core.speaking.overheard(CHANNEL, replace(there, key="another.0", remote_id=RemoteId("before")))
        assert await core.until(ident, "cancelled") == "cancelled"
        assert (await core.history(ident))[-1] == ("cancelled", "already there: box out of reach said it")
        assert core.bridge.sent == []


async def test_what_is_heard_of_a_box_in_reach_makes_nobody_wait_for_boxes_that_are_off(tmp_path):
    async with among_others(tmp_path) as (core, others):
        others.answer = lambda *_: Listen(for_s=0.05, reason="box valley speaks first")
        (first,) = await core.say(1)
        await core.say(2)
        journalled = (await core.journal.message(message_id(NativeId("mx:$1")))).message
        packet = NativeId(f"mt:others:radio-{key_of(first, 0)}")
        others.echoes[packet] = Utterance(native_id=NativeId("mx:$1"), where=MESH)
        await core.intake.accept(replace(heard(packet), content=journalled.content))
        assert await core.until(first, "cancelled") == "cancelled"
        for number in (1, 2):
            remote_id = RemoteId(f"theirs {number}")
            core.speaking.overheard(CHANNEL, Overheard(key="another.0", by="@valley:hs", remote_id=remote_id))
            others.echoes[NativeId(f"mt:us:{remote_id}")] = Utterance(native_id=NativeId("mx:$0"), where=MESH)
        others.overheard_s.clear()
        while not others.overheard_s:
            await core.clock.sleep(0.01)
        assert set(others.overheard_s) == {None}


def test_what_somebody_at_a_page_says_is_said_though_a_box_said_just_that_of_another_and_a_copy_is_not():
    others = Others()
    speaking = Speaking({CHANNEL.bridge: CommonRadio(), LAN.bridge: others}, ManualClock())
    others.echoes[NativeId("mt:us:before")] = Utterance(native_id=NativeId("mx:$0"), where=MESH)
    for number, remote_id in enumerate(("before", "theirs")):
        said = Overheard(
            key=f"another.{number}", by="@valley:hs", remote_id=RemoteId(remote_id), words="Ali: I have bread"
        )
        speaking.overheard(CHANNEL, said)
    quoted = Delivery(message=heard("web:a:1", "Ali: I have bread", at=LAN), to=CHANNEL)
    copy = Delivery(message=replace(heard("mt:a:9", "Ali: I have bread", at=LAN), said_in="mt:elsewhere"), to=CHANNEL)
    speaking.planned([quoted, copy])
    assert speaking.turn(quoted) == Speak()
    assert speaking.turn(copy) == Said(by="out of reach", native_id=NativeId("mt:us:theirs"))


class Watched(CommonRadio):
    """Somebody may look what others said there."""

    def __init__(self, tell):
        super().__init__()
        self.tell = tell
        self.looks = 0

    async def look(self, to):
        self.looks += 1
        for each in self.tell:
            if isinstance(each, Exception):
                raise each
            self.overheard(to, each)


@asynccontextmanager
async def taking_over(folder, tell, *, known=True):
    """A box whose turn comes after another's, whose account is known, and whose words aren't heard yet."""
    bridge = Watched(tell)
    async with among_others(folder, bridge=bridge) as (core, others):
        bridge.overheard = core.speaking.overheard
        if known:
            others.echoes[NativeId("mt:us:before")] = Utterance(native_id=NativeId("mx:$0"), where="elsewhere")
            said = Overheard(key="before.0", by="@valley:hs", remote_id=RemoteId("before"))
            core.speaking.overheard(CHANNEL, said)
        yield core, others


def silent(_, waited_s, turn_s):
    return Speak() if waited_s >= turn_s else Listen(for_s=turn_s - waited_s, reason="box valley speaks first")


async def test_before_it_takes_over_it_looks_whether_another_box_said_it_and_leaves_it_alone(tmp_path):
    tell = []
    async with taking_over(tmp_path, tell) as (core, others):
        others.answer = silent
        (ident,) = await core.say(1)
        tell.append(Overheard(key=key_of(ident, 0), by="@valley:hs", remote_id=RemoteId("theirs")))
        assert await core.until(ident, "cancelled") == "cancelled"
        assert (await core.history(ident))[-1] == ("cancelled", "already there: box out of reach said it")
        assert core.bridge.sent == []
        assert others.told == []
        assert core.bridge.looks == 1


async def test_what_is_not_found_there_is_said_also_where_others_say_that_they_said_it(tmp_path):
    tell = []
    async with taking_over(tmp_path, tell) as (core, others):
        others.answer = silent
        (ident,) = await core.say(1)
        tell.append(Overheard(key=key_of(ident, 0), by="@stranger:hs", remote_id=RemoteId("theirs")))
        assert await core.until(ident, "sent") == "sent"
        assert core.bridge.texts == ["text 1"]
        assert core.bridge.looks == 1


async def test_where_a_box_out_of_reach_spoke_just_now_it_looks_even_when_it_is_its_turn(tmp_path):
    async with taking_over(tmp_path, []) as (core, _):
        core.speaking.overheard(CHANNEL, Overheard(key="other.0", by="@valley:hs", remote_id=RemoteId("untold")))
        (ident,) = await core.say(1)
        assert await core.until(ident, "sent") == "sent"
        assert core.bridge.looks == 1


async def test_where_it_can_not_look_it_waits_until_it_can(tmp_path):
    tell = [LinkDown("the homeserver is away")]
    async with taking_over(tmp_path, tell) as (core, others):
        others.answer = silent
        (ident,) = await core.say(1)
        while not core.bridge.looks:
            await core.clock.sleep(0.02)
        assert core.bridge.sent == []
        tell.clear()
        assert await core.until(ident, "sent") == "sent"
        assert core.bridge.texts == ["text 1"]


async def test_where_no_other_box_was_ever_known_to_speak_nothing_is_looked_for(tmp_path):
    async with taking_over(tmp_path, [], known=False) as (core, others):
        others.answer = silent
        (ident,) = await core.say(1)
        assert await core.until(ident, "sent") == "sent"
        assert core.bridge.looks == 0


async def said_twice(core, others):
    """This box has said a line, and in the room stands another box's before its own. Returns its delivery."""
    others.echoes[NativeId("mt:us:before")] = Utterance(native_id=NativeId("mx:$0"), where="elsewhere")
    before = Overheard(key="before.0", by="@valley:hs", remote_id=RemoteId("before"))
    core.speaking.overheard(CHANNEL, before)
    (ident,) = await core.say(1)
    await core.until(ident, "sent")
    key = key_of(ident, 0)
    own = Overheard(key=key, by="@us:hs", remote_id=RemoteId(f"radio-{key}"), at_ms=2, is_own=True)
    core.speaking.overheard(CHANNEL, own)
    core.speaking.overheard(CHANNEL, replace(own, by="@valley:hs", remote_id=RemoteId("theirs"), at_ms=1, is_own=False))
    return ident


def withdrawing(core):
    bridges = {core.bridge.name: core.bridge}
    return Withdrawing(
        core.speaking, core.journal, bridges, core.clock, count=lambda _, kind: core.counted.append(kind)
    )


async def test_what_two_boxes_said_in_one_moment_the_later_takes_back_and_its_story_says_so(tmp_path):
    async with among_others(tmp_path) as (core, others):
        ident = await said_twice(core, others)
        for _ in range(2):
            await withdrawing(core).withdraw()
        assert core.bridge.texts == ["text 1", "redaction"]
        assert core.bridge.messages[1].content == Redaction(target=RemoteId(f"radio-{core.bridge.keys[0]}"))
        assert core.bridge.messages[1].sender == core.bridge.messages[0].sender
        assert await core.until(ident, "cancelled") == "cancelled"
        assert (await core.history(ident))[-1] == ("cancelled", REASON)
        assert await core.journal.counterpart(ROOM, RemoteId("$1"), CHANNEL) == "theirs"
        assert core.counted == [COUNT_WITHDRAWN]


async def test_what_can_not_be_taken_back_now_is_later_and_under_the_same_key(tmp_path):
    async with among_others(tmp_path) as (core, others):
        await said_twice(core, others)
        core.bridge.answers += [LinkDown("away")]
        takes_back = withdrawing(core)
        await takes_back.withdraw()
        assert core.bridge.texts == ["text 1"]
        await takes_back.withdraw()
        await takes_back.withdraw()
        assert core.bridge.texts == ["text 1", "redaction"]


async def test_what_the_network_lets_nobody_take_back_stands_and_is_counted(tmp_path):
    async with among_others(tmp_path) as (core, others):
        ident = await said_twice(core, others)
        core.bridge.answers += [Rejected("no")]
        takes_back = withdrawing(core)
        await takes_back.withdraw()
        await takes_back.withdraw()
        assert core.bridge.texts == ["text 1"]
        assert core.counted == [COUNT_LEFT]
        assert await core.state(ident) == "sent"


@pytest.mark.parametrize("is_first", [True, False])
async def test_words_of_another_box_that_came_while_a_copy_of_them_was_said_send_the_copy_away(tmp_path, is_first):
    async with among_others(tmp_path) as (core, others):
        others.echoes[NativeId("mt:us:before")] = Utterance(native_id=NativeId("mx:$0"), where="elsewhere")
        core.speaking.overheard(CHANNEL, Overheard(key="before.0", by="@valley:hs", remote_id=RemoteId("before")))
        copy = Delivery(message=replace(heard("mt:them:1", "bo: hi", at=LAN), said_in="mt:elsewhere"), to=CHANNEL)
        core.speaking.planned([copy])
        await core.speaking.begin(copy, None)
        own = Overheard(key=key_of(copy.id, 0), by="@us:hs", remote_id=RemoteId("ours"), is_own=True)
        original = Overheard(key="theirs.0", by="@valley:hs", remote_id=RemoteId("theirs"), words="bo: hi")
        for said in (original, own) if is_first else (own, original):
            core.speaking.overheard(CHANNEL, said)
        assert [(one.ours, one.theirs) for one in core.speaking.doubles.owed.values()] == [("ours", "theirs")]


def test_a_copy_waits_a_turn_for_what_it_may_be_a_copy_of_from_the_first_line_of_a_split_on():
    clock, others, radio = ManualClock(), Others(), CommonRadio(names=Support.NATIVE)
    speaking = Speaking({CHANNEL.bridge: radio, LAN.bridge: others}, clock)
    others.echoes[NativeId("mt:us:before")] = Utterance(native_id=NativeId("mx:$0"), where=MESH)
    speaking.overheard(CHANNEL, Overheard(key="another.0", by="@valley:hs", remote_id=RemoteId("before")))
    copy = Delivery(message=replace(heard("mt:a:9", "Ali: bread", at=LAN), said_in="mt:elsewhere"), to=CHANNEL)
    speaking.planned([copy])
    assert isinstance(speaking.turn(copy), Listen)
    clock.advance(CommonRadio.turn_s)
    assert speaking.turn(copy) == Speak()
