# SPDX-License-Identifier: GPL-3.0-or-later
"""Who at the page may be heard on radio, and who may not be heard at all: the hall with a gateway's real rulings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bridges.lan import admission
from bridges.lan.bridge import LanBridge
from bridges.lan.hall import Line, Person, Refusal
from bridges.lan.places import CAPABILITIES
from gateway.emergency import EmergencyRules, Triage
from gateway.journal import Journal, Retention
from gateway.model import Address, BridgeName, Lane, Level, Message, Reckoned, Sender, SenderId
from gateway.permissions import Permissions
from gateway.planning import Planner
from gateway.routing import Route, RoutingTable
from gateway.rulings import RADIO_SILENCE, Rulings
from tests.contract.lan_box import TOWN, LanBox, from_radio, join, said, shown

OPERATOR = SenderId("@operator:example.org")
RADIO = Address(BridgeName("radio"), "LongFast")
TABLE = {"*": Level.TRANSMIT, str(OPERATOR): Level.ADMIN}


@dataclass
class Gateway:
    """The core's part in it, on a journal of its own."""

    box: LanBox
    rulings: Rulings
    planner: Planner

    def reckon(self, message: Message) -> Sequence[Reckoned]:
        plan = self.planner.plan(message)
        would = [Reckoned(to=one.to, airtime_ms=900) for one in plan.deliveries]
        return (*would, *(Reckoned(to=one.to, refusal=reason) for one, _, reason in plan.ended))

    @asynccontextmanager
    async def page(self) -> AsyncIterator[LanBridge]:
        rulings = self.rulings
        more: dict[str, Any] = {"muted": rulings.muted, "named": rulings.named, "reckon": self.reckon}
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
        assert "allow ~ali@hilltop transmit" in (await said(page, ali, "/radio")).text
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


async def test_a_list_of_nicknames_that_cannot_be_read_is_said_and_nobody_is_let_in(tmp_path: Path) -> None:
    (tmp_path / "nicknames.db").write_bytes(b"no database at all" * 100)
    async with gateway(tmp_path) as core, core.page() as page:
        assert "can't use" in refusal(page.hall.join("ali", "key"))
        assert core.box.counts["lan_nicknames_unreadable"] == 1


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
