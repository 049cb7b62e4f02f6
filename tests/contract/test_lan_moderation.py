# SPDX-License-Identifier: GPL-3.0-or-later
"""Who at the page may be heard on radio, and who may not be heard at all: the hall with a gateway's real rulings."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bridges.lan import admission, holders
from bridges.lan.bridge import LanBridge
from bridges.lan.hall import Line, Person, Refusal
from bridges.lan.holders import Holders
from bridges.lan.places import CAPABILITIES
from gateway.emergency import EmergencyRules, Triage
from gateway.journal import Journal, Retention
from gateway.model import Address, BridgeName, Lane, Level, Message, Reckoned, RoutedConversation, Sender, SenderId
from gateway.permissions import Permissions
from gateway.planning import Planner
from gateway.routing import Route, RoutingTable
from gateway.rulings import RADIO_SILENCE, Rulings
from tests.contract.lan_box import TOWN, LanBox, from_radio, join, said, shown
from tests.lan_boxes import until

OPERATOR = SenderId("@operator:example.org")
RADIO = Address(BridgeName("radio"), "LongFast")
TABLE = {"*": Level.TRANSMIT, str(OPERATOR): Level.ADMIN}


@dataclass
class Gateway:
    """The core's part in it, on a journal of its own."""

    box: LanBox
    rulings: Rulings
    planner: Planner
    nodes: tuple[str, ...] = ()
    """What radios and nodes are called."""

    def reckon(self, message: Message) -> Sequence[Reckoned]:
        plan = self.planner.plan(message)
        would = [Reckoned(to=one.to, airtime_ms=900) for one in plan.deliveries]
        return (*would, *(Reckoned(to=one.to, refusal=reason) for one, _, reason in plan.ended))

    @asynccontextmanager
    async def page(self) -> AsyncIterator[LanBridge]:
        rulings = self.rulings
        more: dict[str, Any] = {
            "muted": rulings.muted,
            "named": rulings.named,
            "reckon": self.reckon,
            "silenced": rulings.silenced,
            "slow": lambda room: None if (one := rulings.slow_of(Address(TOWN.bridge, room))) is None else one.every_s,
            "known_as": lambda: self.nodes,
        }
        async with self.box.running(level_of=rulings.level_of, **more) as bridge:
            yield bridge


@asynccontextmanager
async def gateway(folder: Path, file: dict[str, Level] | None = None) -> AsyncIterator[Gateway]:
    box = LanBox(folder)
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(
            Journal(folder / "journal.db", clock=box.clock, retention=Retention())
        )
        rulings = Rulings(Permissions.of(file or TABLE), journal.decisions, box.clock)
        await rulings.load()
        table = RoutingTable(
            routes=(Route(name="town", sources=(TOWN,), targets=(RADIO,)),), in_clear=frozenset({RADIO.bridge})
        )
        planner = Planner(
            table=table,
            capabilities={TOWN.bridge: CAPABILITIES, RADIO.bridge: CAPABILITIES},
            level_of=rulings.level_of,
            muted=rulings.muted,
            silenced=rulings.silenced,
            is_direct=lambda _: False,
        )
        yield Gateway(box, rulings, planner)


def refusal(answer: object) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.reason


async def test_a_guest_s_line_is_not_on_radio_and_the_writer_is_told_before(tmp_path: Path) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        ali = join(page, "ali")
        cost = page.hall.cost(ali, "town", "hello")
        assert (cost.reaches, cost.packets) == ((), 0)
        assert cost.not_reached == ("radio/LongFast: the sender may read but not transmit on radio",)
        await said(page, ali, "hello")
        (message,) = await core.box.received(page, 1)
        assert message.lane is Lane.GUEST
        assert core.planner.plan(message).deliveries == ()


async def test_who_asked_and_was_let_is_heard_and_nobody_else_may_take_the_name(tmp_path: Path) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        ali = join(page, "ali")
        assert "approve ~ali@hilltop" in (await said(page, ali, "/radio")).text
        assert page.describe()["asking for the radio"] == "~ali@hilltop"
        await core.rulings.allow("~ali@hilltop", Level.TRANSMIT, by=OPERATOR)
        assert "asking for the radio" not in page.describe()
        assert page.hall.cost(ali, "town", "hello").reaches == ("radio/LongFast",)
        await said(page, ali, "hello")
        (message,) = await core.box.received(page, 1)
        assert message.lane is Lane.GUEST
        assert [one.to for one in core.planner.plan(message).deliveries] == [RADIO]
        await said(page, ali, "/nick alina")
        for nick in ("ali", "аli", "Ali"):
            assert "decided" in refusal(page.hall.join(nick, "another"))
        assert join(page, "ali").id == "~ali@hilltop"  # whoever had it may have it again


async def test_a_name_that_the_file_gives_the_radio_is_nobody_s_who_comes_later(tmp_path: Path) -> None:
    async with gateway(tmp_path, {**TABLE, "~warden@hilltop": Level.TRANSMIT}) as core, core.page() as page:
        for nick in ("warden", "w\u0430rden", "WARDEN"):
            assert "decided" in refusal(page.hall.join(nick, "mallory"))
        assert isinstance(page.hall.join("warden2", "mallory"), Person)
        assert core.box.counts["lan_nickname_refused"] == 3


async def test_the_pace_on_radio_is_each_person_s_and_said_with_its_end(tmp_path: Path) -> None:
    async with gateway(tmp_path, {**TABLE, "~*": Level.TRANSMIT}) as core, core.page() as page:
        ali, bea = join(page, "ali"), join(page, "bea")
        for text in ("one", "two", "three"):
            await said(page, ali, text)
        answer = await page.hall.say(ali, "town", "four")
        assert isinstance(answer, Refusal)
        assert "one in 60 s" in answer.reason
        assert answer.retry_after_s
        assert "one in 60 s" in refusal(await page.hall.say(ali, "town", "/me waves"))
        assert isinstance(await page.hall.say(bea, "town", "one"), Line)
        await core.rulings.allow("~*", Level.READ, by=OPERATOR)
        assert isinstance(await page.hall.say(ali, "town", "not on radio"), Line)


async def test_who_is_muted_stays_so_under_every_nickname_and_after_a_restart(tmp_path: Path) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        spam = page.hall.join("spam", "one key")
        assert isinstance(spam, Person)
        line = await said(page, spam, "buy")
        await said(page, spam, "/nick ham")
        await core.rulings.mute(SenderId("~spam@hilltop"), for_s=None, by=OPERATOR)
        assert "muted" in refusal(await page.hall.say(spam, "town", "buy more"))
        assert "muted" in refusal(await page.hall.react(spam, "town", line.id, "👍"))
        assert "muted" in refusal(await page.hall.say(spam, "town", "/msg ham buy"))
        assert "keeps" in refusal(await page.hall.say(spam, "town", "/nick eggs"))
        assert "decided" in refusal(page.hall.join("spam", "a friend"))
    async with gateway(tmp_path) as core, core.page() as page:
        ham = page.hall.join("ham", "one key")
        assert isinstance(ham, Person)
        assert "muted" in refusal(await page.hall.say(ham, "town", "buy again"))
        assert isinstance(await page.hall.say(join(page, "bea"), "town", "hello"), Line)
        await core.rulings.unmute(SenderId("~spam@hilltop"), by=OPERATOR)
        assert isinstance(await page.hall.say(ham, "town", "sorry"), Line)


async def test_who_may_nothing_says_nothing_but_a_page_that_no_rule_is_about_talks(tmp_path: Path) -> None:
    async with gateway(tmp_path, {str(OPERATOR): Level.ADMIN}) as core, core.page() as page:
        ali = join(page, "ali")
        await said(page, ali, "hello")
        await core.rulings.allow("~ali@hilltop", Level.NONE, by=OPERATOR)
        assert "nothing" in refusal(await page.hall.say(ali, "town", "hello"))


async def test_nobody_at_the_page_is_taken_for_somebody_heard_from_elsewhere(tmp_path: Path) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        sender = Sender(id=SenderId("@bea:example.org"), name="Bea")
        await page.send(from_radio("hello", sender=sender), TOWN, key="k")
        await shown(page, 1)
        assert "another network" in refusal(page.hall.join("b\u0435a", "mallory"))
        assert "runs" in refusal(page.hall.join("Operator", "mallory"))
        assert core.box.counts["lan_nickname_refused"] == 2


async def test_a_nickname_that_was_just_given_up_is_nobody_else_s_for_a_day(tmp_path: Path) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        await said(page, join(page, "ali"), "/nick alina")
        assert "taken" in refusal(page.hall.join("ali", "mallory"))
    async with core.page() as page:
        assert "taken" in refusal(page.hall.join("ali", "mallory"))


async def test_nobody_takes_nicknames_without_end(tmp_path: Path) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        for number in range(admission.MOST_OF_ONE):
            assert isinstance(page.hall.join(f"n{number}x", "key"), Person)
        assert "nicknames" in refusal(page.hall.join("another", "key"))
        assert isinstance(page.hall.join("n3x", "key"), Person)


async def test_a_list_of_nicknames_that_cannot_be_read_is_said_and_read_again_when_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "READ_AGAIN_S", 0.01)
    (tmp_path / "nicknames.db").write_bytes(b"no database at all" * 100)
    async with gateway(tmp_path) as core, core.page() as page:
        assert "can't use" in refusal(page.hall.join("ali", "key"))
        assert core.box.counts["lan_nicknames_unreadable"]
        (tmp_path / "nicknames.db").unlink()
        await until(lambda: isinstance(page.hall.join("ali", "key"), Person))


@pytest.mark.parametrize(("level", "lane"), [(Level.TRANSMIT, Lane.GUEST), (Level.COMMANDS, Lane.NORMAL)])
async def test_who_may_command_is_no_guest_on_the_air(tmp_path: Path, level: Level, lane: Lane) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        ali = join(page, "ali")
        await core.rulings.allow(str(ali.id), level, by=OPERATOR)
        await said(page, ali, "hello")
        (message,) = await core.box.received(page, 1)
        assert message.lane is lane


async def test_in_radio_silence_a_line_is_taken_but_not_for_radio_and_the_writer_is_told(tmp_path: Path) -> None:
    file = {**TABLE, "~*": Level.TRANSMIT}
    async with gateway(tmp_path, file) as core, core.page() as page:
        ali = join(page, "ali")
        await core.rulings.mute(RADIO_SILENCE, for_s=3600, by=OPERATOR)
        (reason,) = page.hall.cost(ali, "town", "hello").not_reached
        assert reason.startswith(f"radio/LongFast: radio silence, by {OPERATOR}, for another ")
        await said(page, ali, "hello")
        (message,) = await core.box.received(page, 1)
        assert core.planner.plan(message).deliveries == ()
        assert core.planner.plan(replace(message, lane=Lane.EMERGENCY)).deliveries
    async with gateway(tmp_path, file) as core:
        assert core.planner.plan(message).deliveries == ()
        await core.rulings.unmute(RADIO_SILENCE, by=OPERATOR)
        assert core.planner.plan(message).deliveries


@pytest.mark.parametrize(("level", "lane"), [(Level.READ, Lane.GUEST), (Level.TRANSMIT, Lane.EMERGENCY)])
async def test_a_guest_calls_no_emergency_by_its_word_until_let_on_the_radio(
    tmp_path: Path, level: Level, lane: Lane
) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        ali = join(page, "ali")
        await core.rulings.allow(str(ali.id), level, by=OPERATOR)
        await said(page, ali, "SOS at the bridge")
        (message,) = await core.box.received(page, 1)
        judged, _ = Triage(EmergencyRules(words=("SOS",))).judge(message, core.rulings.level_of(ali.id))
        assert judged.lane is lane


# Asking for the radio.


async def test_who_asks_waits_with_since_when_and_sees_at_the_page_what_became_of_it(tmp_path: Path) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        ali, bea = join(page, "ali"), join(page, "bea")
        assert page.hall.standing(ali) == ""
        await said(page, ali, "/radio")
        await said(page, bea, "/radio")
        assert [one.sender for one in page.asking()] == [ali.id, bea.id]
        assert all(abs((one.since_ms or 0) - core.box.clock.now_ms()) < 60_000 for one in page.asking())
        assert "not answered yet" in page.hall.standing(ali)
        await core.rulings.allow(ali.id, Level.TRANSMIT, by=OPERATOR, what="approve")
        await core.rulings.allow(bea.id, Level.READ, by=OPERATOR, what="refuse")
        assert (page.asking(), page.hall.standing(ali)) == ([], "you asked to be heard on radio, and you may")
        assert "said no" in page.hall.standing(bea)
        assert "decided already" in (await said(page, bea, "/radio")).text
        assert page.hall.standing(join(page, "somebody")) == ""
    async with gateway(tmp_path) as core, core.page() as page:  # also after a restart
        assert "said no" in page.hall.standing(join(page, "bea"))


async def test_nobody_waits_for_an_answer_for_ever_nor_do_too_many_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        ali = join(page, "ali")
        await said(page, ali, "/radio")
        monkeypatch.setattr(admission, "MOST_ASKING", 1)
        assert "ask again later" in (await said(page, join(page, "bea"), "/radio")).text
        monkeypatch.setattr(admission, "ASKING_MS", 0)
        assert page.asking() == []
        assert "/radio asks again" in page.hall.standing(ali)


# What is told before anybody writes.


async def test_radio_silence_and_slow_mode_are_told_in_the_room_before_anybody_writes(tmp_path: Path) -> None:
    rooms = (RoutedConversation(name="town", exposed_to=(RADIO,)), RoutedConversation(name="inside"))
    async with gateway(tmp_path) as core, core.page() as page:
        page.reroute(rooms)
        await core.rulings.mute(RADIO_SILENCE, for_s=None, by=OPERATOR)
        await core.rulings.slow(TOWN, 30, by=OPERATOR)
        assert {room.name: room.notice for room in page.hall.rooms()} == {
            "town": f"radio silence, by {OPERATOR}: what is said here does not go on radio;"
            " slow mode: one line in 30 s",
            "inside": "",
        }
        await core.rulings.unmute(RADIO_SILENCE, by=OPERATOR)
        await core.rulings.slow(TOWN, 0, by=OPERATOR)
        assert [room.notice for room in page.hall.rooms()] == ["", ""]


async def test_slow_mode_holds_from_the_moment_it_is_decided_in_its_room_alone(tmp_path: Path) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        ali = join(page, "ali")
        await said(page, ali, "one")
        await core.rulings.slow(TOWN, 3600, by=OPERATOR)
        answer = await page.hall.say(ali, "town", "two")
        assert isinstance(answer, Refusal)
        assert answer.reason.startswith("slow mode: one line in 3600 s; again in ")
        assert isinstance(await page.hall.say(ali, "warnings", "two"), Line)
        await core.rulings.slow(TOWN, 0, by=OPERATOR)
        await said(page, ali, "two")


# Names.


async def test_nobody_at_the_page_is_called_like_a_node_a_radio_or_who_runs_the_gateway(tmp_path: Path) -> None:
    async with gateway(tmp_path, {**TABLE, "@wardenkim:example.org": Level.COMMANDS}) as core, core.page() as page:
        core.nodes = ("Ridge relay", "Hut")
        for nick in ("hut", "H\u03c5t", "ridge_relay", "wardenkim", "WardenKim7", "w\u0430rdenkim"):
            assert isinstance(page.hall.join(nick, "mallory"), Refusal), nick
        assert isinstance(page.hall.join("hutte", "somebody"), Person)


async def test_who_joins_waits_for_no_disk_and_is_known_after_a_restart(tmp_path: Path) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        join(page, "first")
        await asyncio.sleep(0.1)
        other = sqlite3.connect(tmp_path / "nicknames.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")  # as a disk that takes its time: whoever writes waits
        for number in range(500):
            assert isinstance(page.hall.join(f"n{number}", f"key {number}"), Person)
        other.execute("ROLLBACK")
        other.close()
    async with gateway(tmp_path) as core, core.page() as page:
        assert "taken" in refusal(page.hall.join("n499", "mallory"))
        assert isinstance(page.hall.join("n499", "key 499"), Person)


async def test_a_disk_that_takes_no_names_is_said_and_tried_again(tmp_path: Path) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        join(page, "first")
        await asyncio.to_thread(page.hall.admission._holders.close)
        (tmp_path / "nicknames.db").rename(tmp_path / "away.db")
        (tmp_path / "nicknames.db").mkdir()
        await until(lambda: isinstance(page.hall.join(f"n{core.box.clock.now_ms()}", "key"), Refusal))
        assert core.box.counts["lan_nicknames_unreadable"]
        (tmp_path / "nicknames.db").rmdir()
        await until(lambda: isinstance(page.hall.join("late", "another key"), Person))


async def test_ten_thousand_names_are_held_and_the_next_takes_the_oldest_s_place(tmp_path: Path) -> None:
    async with gateway(tmp_path) as core, core.page() as page:
        for number in range(holders.MOST_HELD + 1):
            assert isinstance(page.hall.join(f"n{number}", f"key {number}"), Person)
        await asyncio.sleep(0)
    held = Holders(tmp_path / "nicknames.db")
    held.open()
    assert (held.of("n0"), held.of(f"n{holders.MOST_HELD}") is not None) == (None, True)
