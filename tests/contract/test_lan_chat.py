# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do at the page, and what they are told."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from bridges.lan.hall import Hall, Line, Refusal
from bridges.lan.people import KEPT_S, MOST_PEOPLE, People
from gateway.model import (
    Address,
    Asked,
    BridgeName,
    Declined,
    Level,
    NativeId,
    NoDesk,
    NotThere,
    Reckoned,
    Rerouted,
    RoutedConversation,
    Text,
)
from tests.contract.lan_box import LanBox, from_radio, join, said

RADIO = Address(BridgeName("radio"), "LongFast")
MATRIX = Address(BridgeName("home"), "#town:example.org")


class Desk(NoDesk):
    async def answer(self, asked: Asked) -> str:
        if asked.words == "no":
            raise Declined("not for you")
        return f"{asked.sender} at {asked.at}: {asked.words}"


@pytest.fixture
def box(tmp_path: Path) -> LanBox:
    return LanBox(tmp_path)


async def test_the_hall_is_what_the_page_asks_for(box: LanBox) -> None:
    hall: Hall = box.bridge().hall
    assert [room.name for room in hall.rooms()] == ["town", "warnings"]


async def test_nothing_is_taken_while_the_bridge_is_closed_and_the_reason_is_said(box: LanBox) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
    answer = await bridge.hall.say(ali, "town", "hello")
    assert isinstance(answer, Refusal)
    assert answer.retry_after_s
    assert await bridge.hall.lines("town") == ()


@pytest.mark.parametrize("text", ["", "  \n", "x" * 5000, "/dance"])
async def test_what_is_no_line_is_refused_with_a_reason(box: LanBox, text: str) -> None:
    async with box.running() as bridge:
        answer = await bridge.hall.say(join(bridge, "ali"), "town", text)
        assert isinstance(answer, Refusal)
        assert answer.reason
        assert await bridge.hall.lines("town") == []


async def test_a_room_that_is_not_there_is_said(box: LanBox) -> None:
    async with box.running() as bridge:
        answer = await bridge.hall.say(join(bridge, "ali"), "cellar", "hello")
        assert isinstance(answer, Refusal)
        assert "cellar" in answer.reason


async def test_markup_stays_text_and_an_emote_says_who(box: LanBox) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
        line = await said(bridge, ali, "<script>alert(1)</script>")
        assert line.text == "<script>alert(1)</script>"
        assert (await said(bridge, ali, "/me waves")).text == "* ali waves"
        _, emote = await box.received(bridge, 2)
        assert emote.content == Text(body="waves", emote=True)


async def test_rules_are_asked_before_anything_is_logged(box: LanBox) -> None:
    async with box.running() as bridge:
        bridge.hall.rules = lambda person, room, _: Refusal(reason=f"{person.nick} is muted in {room}")
        answer = await bridge.hall.say(join(bridge, "ali"), "town", "hello")
        assert answer == Refusal(reason="ali is muted in town")
        assert await bridge.hall.lines("town") == []


async def test_commands_are_answered_to_the_asker_alone(box: LanBox) -> None:
    async with box.running(desk=Desk()) as bridge:
        ali = join(bridge, "ali")
        who = await said(bridge, ali, "/who")
        assert (who.arrival, who.text) == (0, "here: ali")
        assert "/msg" in (await said(bridge, ali, "/help")).text
        assert (await said(bridge, ali, "/gw status")).text == "~ali@hilltop at lan/town: status"
        assert (await said(bridge, ali, "/gw no")).text == "not for you"
        assert await bridge.hall.lines("town") == []


async def test_a_nickname_that_permissions_make_an_admin_commands_nothing(box: LanBox) -> None:
    async with box.running(desk=Desk(), level_of=lambda _: Level.ADMIN) as bridge:
        answer = await said(bridge, join(bridge, "op"), "/gw forget everything")
        assert "proves nothing" in answer.text


async def test_who_takes_another_nick_is_called_so_from_then_on(box: LanBox) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
        await said(bridge, ali, "/nick alina")
        now = bridge.hall.person(ali.key)
        assert now is not None
        assert (now.nick, now.id) == ("alina", "~alina@hilltop")
        assert (await said(bridge, ali, "I was ali")).name == "alina"
        assert isinstance(bridge.hall.join("ALINA", "another key"), Refusal)
        assert join(bridge, "ali")  # free again


@pytest.mark.parametrize("nick", ["", "a b", "a@b", "~a", "x" * 25, "a\u202eb", "a\nb", "op:"])
def test_names_that_are_none_are_refused(nick: str) -> None:
    assert isinstance(People("hilltop").join(nick, "key", 0.0), Refusal)


def test_a_look_alike_of_somebody_s_nick_is_refused_until_that_one_was_away_for_a_day() -> None:
    people = People("hilltop")
    people.join("ali", "one", 0.0)
    assert isinstance(people.join("аli", "two", 1.0), Refusal)  # a Cyrillic a
    assert not isinstance(people.join("аli", "two", KEPT_S), Refusal)


def test_ten_thousand_nicknames_take_bounded_room_and_the_quiet_ones_go() -> None:
    people = People("hilltop")
    for number in range(MOST_PEOPLE + 500):
        people.join(f"n{number}", f"key {number}", number * KEPT_S)
    assert people.known("key 0") is None
    assert people.known(f"key {MOST_PEOPLE + 499}") is not None
    assert len(people.here((MOST_PEOPLE + 499) * KEPT_S)) == 1


async def test_what_is_said_to_one_person_is_seen_by_them_alone_and_not_routed(box: LanBox) -> None:
    async with box.running() as bridge:
        ali, bo = join(bridge, "ali"), join(bridge, "bo")
        await said(bridge, bo, "/msg ali a secret")
        assert [line.text for line in await bridge.hall.directs(ali)] == ["a secret"]
        assert await bridge.hall.lines("~nobody@hilltop") == ()
        await box.nothing_more(bridge)


async def test_what_the_core_sends_to_a_person_is_shown_to_them(box: LanBox) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
        await bridge.send(from_radio("psst"), Address(BridgeName("lan"), ali.id), key="k.0")
        assert [line.text for line in await bridge.hall.directs(ali)] == ["psst"]


async def test_the_cost_of_a_line_is_that_of_its_narrowest_network(box: LanBox) -> None:
    def reckon(message: object) -> tuple[Reckoned, ...]:
        del message
        return (
            Reckoned(to=RADIO, parts=2, bytes_left=-12, airtime_ms=900),
            Reckoned(to=MATRIX, bytes_left=60_000),
            Reckoned(to=Address(BridgeName("ridge"), "LongFast"), refusal="you may not transmit"),
        )

    async with box.running(reckon=reckon) as bridge:
        cost = bridge.hall.cost(join(bridge, "ali"), "town", "hello")
    assert (cost.bytes_left, cost.packets, cost.airtime_ms) == (-12, 2, 900)
    assert list(cost.reaches) == ["radio/LongFast", "home/#town:example.org"]
    assert list(cost.not_reached) == ["ridge/LongFast: you may not transmit"]


async def test_a_command_takes_nothing_but_what_is_said_of_oneself_does(box: LanBox) -> None:
    def reckon(message: object) -> tuple[Reckoned, ...]:
        del message
        return (Reckoned(to=RADIO, bytes_left=200, airtime_ms=900),)

    async with box.running(reckon=reckon) as bridge:
        ali = join(bridge, "ali")
        assert bridge.hall.cost(ali, "town", "/nick Bo").airtime_ms == 0
        assert bridge.hall.cost(ali, "town", "/me waves").airtime_ms == 900


async def test_a_reply_to_what_is_not_there_is_a_line_without_one(box: LanBox) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
        line = await said(bridge, ali, "hello")
        assert (await said(bridge, ali, "yes?", reply_to=line.id)).reply_to == line.id
        other = await bridge.hall.say(ali, "town", "who?", reply_to=from_radio("x").native_id)
        assert isinstance(other, Line)
        assert other.reply_to is None


async def test_people_at_the_page_are_in_the_directory(box: LanBox) -> None:
    async with box.running() as bridge:
        join(bridge, "ali")
        (node,) = bridge.nodes()
    assert (node.id, node.name, node.role) == ("~ali@hilltop", "ali", "page")
    assert node.last_heard_ms is not None


async def test_a_room_that_a_route_made_in_a_chat_names_is_there_from_then_on(box: LanBox) -> None:
    appeared: list[str] = []
    hill = Address(BridgeName("lan"), "hill")
    async with box.running(appeared=appeared.append) as bridge:
        assert isinstance(bridge, Rerouted)
        with pytest.raises(NotThere):
            await bridge.send(from_radio("early"), hill, key="k.0")
        bridge.reroute((RoutedConversation(name="town"), RoutedConversation(name="hill")))
        await bridge.send(from_radio("now"), hill, key="k.0")
        assert [room.name for room in bridge.hall.rooms()] == ["town", "hill"]
        assert [line.text for line in await bridge.hall.lines("hill")] == ["now"]
    assert appeared == ["hill"]


@pytest.mark.parametrize("emoji", ["", " ", "👍 👍", "x" * 65])
async def test_what_is_no_emoji_is_refused(box: LanBox, emoji: str) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
        line = await said(bridge, ali, "hello")
        assert isinstance(await bridge.hall.react(ali, "town", line.id, emoji), Refusal)
        assert isinstance(await bridge.hall.react(ali, "town", NativeId("web:none"), "👍"), Refusal)


@pytest.mark.parametrize("whom", ["~" + "a" * 600 + "@b", "~a@\N{RIGHT-TO-LEFT OVERRIDE}b", "~a\x00@b"])
async def test_what_is_said_to_nobody_that_can_be_is_not_logged(box: LanBox, whom: str) -> None:
    async with box.running() as bridge:
        answer = await bridge.hall.say(join(bridge, "ali"), "town", f"/msg {whom} hello")
        assert isinstance(answer, Refusal)
        assert answer.reason.startswith("write /msg NICK")
        assert not box.counts


async def test_what_is_on_disk_is_for_nobody_else(box: LanBox) -> None:
    async with box.running() as bridge:
        await said(bridge, join(bridge, "ali"), "hello")
        found: dict[str, int] = {}
        for file in box.folder.iterdir():
            with suppress(FileNotFoundError):  # SQLite's journals come and go
                found[file.name] = file.stat().st_mode & 0o077
        assert {"log.db", "rooms.db"} <= found.keys()
        assert set(found.values()) == {0}, found
