# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody at a page says to one person alone, and is told: who reads it, and which box carries it to a radio."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridges.lan.admission import KEPT_MS
from bridges.lan.entries import Standing
from bridges.lan.hall import Line, Refusal
from bridges.lan.places import malformed
from gateway.clock import SystemClock
from gateway.model import Address, BridgeName, Declined, Joined, JournalError, NoDesk, Rejected, Sender, SenderId
from tests.contract.lan_box import LAN, TOWN, LanBox, from_radio, join, said

NODE = "!a1b2c301"
CHAT = f"~ali@hilltop/{NODE}"
RADIO = Address(BridgeName("radio"), NODE)


class Later(SystemClock):
    def now_ms(self) -> int:
        return super().now_ms() + KEPT_MS


class Hasty(SystemClock):
    async def sleep(self, seconds: float) -> None:
        del seconds


class RadioDesk(NoDesk):
    """Of a box with a radio: joins, unless it was told a reason not to."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        self.joined_now: list[tuple[Address, Address, str, bool]] = []

    def resolve(self, there: str) -> Address:
        return Address(BridgeName("radio"), there)

    async def join(self, here: Address, there: Address, *, by: SenderId, direct: bool = False) -> Joined:
        if self.reason:
            raise Declined(self.reason)
        self.joined_now.append((here, there, by, direct))
        return Joined(route="chat", ends=(here, there), direct=direct)


@pytest.fixture
def box(tmp_path: Path) -> LanBox:
    return LanBox(tmp_path)


async def test_both_read_it_and_nobody_else_does(box: LanBox) -> None:
    async with box.running() as bridge:
        ali, bo, cai = (join(bridge, nick) for nick in ("ali", "bo", "cai"))
        await said(bridge, bo, "/msg ali a secret")
        for person, texts in ((ali, ["a secret"]), (bo, ["a secret"]), (cai, [])):
            assert [line.text for line in await bridge.hall.lines(person.id)] == texts
        assert await bridge.hall.lines("~nobody@hilltop") == ()


async def test_whoever_takes_the_nickname_next_reads_nothing_of_it(box: LanBox) -> None:
    async with box.running() as bridge:
        join(bridge, "ali")
        await said(bridge, join(bridge, "bo"), "/msg ali a secret")
    async with box.running() as bridge:
        join(bridge, "ali")
        assert len(await bridge.hall.lines("~ali@hilltop")) == 1  # the same person, after a restart
    box.clock = Later()
    async with box.running() as bridge:
        assert not isinstance(bridge.hall.join("ali", "another's key"), Refusal)
        assert await bridge.hall.lines("~ali@hilltop") == []


async def test_reading_the_log_anew_shows_nobody_what_was_said_to_who_had_the_nickname_before(box: LanBox) -> None:
    async with box.running() as bridge:
        join(bridge, "ali")
        bo = join(bridge, "bo")
        await said(bridge, bo, "/msg ali a secret")
        await said(bridge, bo, "hello all")
    box.clock = Later()
    async with box.running() as bridge:
        assert not isinstance(bridge.hall.join("ali", "another's key"), Refusal)
        rooms = bridge._diary.rooms
        assert rooms is not None
        for believed in ("a box was put out", "and another"):
            rooms._set("believed", believed)
            bridge._diary._counting_by = believed
            await bridge._diary.catch_up()
            assert await bridge.hall.lines("~ali@hilltop") == []
            (line,) = await bridge.hall.lines("town")
            assert not line.late


async def test_a_reply_in_ones_own_room_goes_to_whom_the_line_was_from_and_words_alone_go_nowhere(box: LanBox) -> None:
    async with box.running() as bridge:
        ali, bo = join(bridge, "ali"), join(bridge, "bo")
        asked = await said(bridge, bo, "/msg ali where?")
        answer = await bridge.hall.say(ali, ali.id, "here", reply_to=asked.id)
        assert isinstance(answer, Line)
        assert (answer.room, answer.reply_to) == (bo.id, asked.id)
        assert isinstance(await bridge.hall.say(ali, ali.id, "to nobody"), Refusal)
        foreign = await bridge.hall.say(join(bridge, "cai"), "~cai@hilltop", "me too", reply_to=asked.id)
        assert isinstance(foreign, Refusal)


async def test_what_is_said_to_a_node_is_carried_as_a_direct_chat_of_the_two(box: LanBox) -> None:
    desk = RadioDesk()
    async with box.running(desk=desk) as bridge:
        ali = join(bridge, "ali")
        await bridge.send(from_radio("hello", sender=Sender(id=SenderId(NODE), name="Ridge relay")), TOWN, key="k.0")
        line = await said(bridge, ali, "/msg ridge relay are you there?")
        assert (line.room, line.text) == (CHAT, "are you there?")
        (message,) = await box.received(bridge, 1)
        assert (message.origin, message.sender.id) == (Address(LAN, CHAT), ali.id)
        assert desk.joined_now == [(Address(LAN, CHAT), RADIO, ali.id, True)]

        told = from_radio("I am", native="mt:a1b2c301:2", sender=Sender(id=SenderId(NODE), name="Ridge relay"))
        await bridge.send(told, Address(LAN, CHAT), key="k.1")
        assert [line.text for line in await bridge.hall.lines(ali.id)] == ["are you there?", "I am"]
        answer = await bridge.hall.say(ali, ali.id, "good", reply_to=told.native_id)
        assert isinstance(answer, Line)
        assert answer.room == CHAT


async def test_a_reply_to_what_a_node_wrote_unasked_goes_to_it_and_to_a_matrix_user_there_is_no_way(
    box: LanBox,
) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
        own = Address(LAN, ali.id)
        unasked = from_radio("psst", sender=Sender(id=SenderId(NODE), name="Ridge relay"))
        matrix = from_radio("hm", native="mx:$1", sender=Sender(id=SenderId("@bo:example.org"), name="bo"))
        await bridge.send(unasked, own, key="k.0")
        await bridge.send(matrix, own, key="k.1")
        answer = await bridge.hall.say(ali, ali.id, "yes?", reply_to=unasked.native_id)
        assert isinstance(answer, Line)
        assert answer.room == CHAT
        assert isinstance(await bridge.hall.say(ali, ali.id, "yes?", reply_to=matrix.native_id), Refusal)


async def test_who_may_not_is_told_why_and_a_box_without_a_radio_leaves_it_to_others(box: LanBox) -> None:
    async with box.running(desk=RadioDesk("that takes the permission transmit")) as bridge:
        ali = join(bridge, "ali")
        await said(bridge, ali, f"/msg {NODE} hello")
        await box.nothing_more(bridge)
        (line,) = await bridge.hall.lines(ali.id)
        assert line.state == f"radio/{NODE}: cancelled, that takes the permission transmit"
    async with box.running() as bridge:
        await said(bridge, join(bridge, "ali"), f"/msg {NODE} again")
        await box.nothing_more(bridge)
    assert box.counts["lan_chat_without_radio"]


async def test_lines_to_a_node_keep_the_pace_on_radio_whichever_box_has_the_radio(box: LanBox) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
        for number in range(3):
            await said(bridge, ali, f"/msg {NODE} hello {number}")
        refused = await bridge.hall.say(ali, "town", "/msg !a1b2c302 hello")
        assert isinstance(refused, Refusal)
        assert "on radio 3 lines at once" in refused.reason
        await said(bridge, ali, "hello all")


async def test_a_journal_that_can_not_be_written_is_waited_for_and_ends_no_gateway(box: LanBox) -> None:
    desk = RadioDesk()
    failures = [JournalError("the disk is full"), JournalError("the disk is full")]
    joins = desk.join

    async def join_later(here: Address, there: Address, *, by: SenderId, direct: bool = False) -> Joined:
        if failures:
            raise failures.pop()
        return await joins(here, there, by=by, direct=direct)

    desk.join = join_later  # type: ignore[method-assign]
    box.clock = Hasty()
    async with box.running(desk=desk) as bridge:
        await said(bridge, join(bridge, "ali"), f"/msg {NODE} hello")
        (message,) = await box.received(bridge, 1)
        assert message.origin == Address(LAN, CHAT)
        assert len(desk.joined_now) == 1


async def test_a_box_that_the_others_put_out_goes_on_though_it_can_tell_them_nothing(box: LanBox) -> None:
    async def put_out(standing: Standing) -> None:
        raise Rejected("the other boxes put this one out")

    async with box.running(desk=RadioDesk("that takes the permission transmit")) as bridge:
        bridge._introductions._tell = put_out
        await said(bridge, join(bridge, "ali"), f"/msg {NODE} hello")
        await box.nothing_more(bridge)
    assert box.counts["lan_chat_not_told"] == 1


async def test_of_two_at_radios_who_are_called_alike_one_is_named_by_id(box: LanBox) -> None:
    async with box.running() as bridge:
        for number, node in enumerate((NODE, "!a1b2c302")):
            sender = Sender(id=SenderId(node), name="Ridge")
            await bridge.send(
                from_radio("hi", native=f"mt:{node[1:]}:{number}", sender=sender), TOWN, key=f"k{number}.0"
            )
        ali = join(bridge, "ali")
        refused = await bridge.hall.say(ali, "town", "/msg Ridge hello")
        assert isinstance(refused, Refusal)
        assert "!a1b2c301, !a1b2c302" in refused.reason
        assert (await said(bridge, ali, "/msg !a1b2c302 hello")).room == "~ali@hilltop/!a1b2c302"


def test_such_a_chat_can_be_named_in_a_route() -> None:
    assert malformed(CHAT) == ""
    assert malformed("~ali@hilltop/town") != ""
