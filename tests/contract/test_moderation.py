# SPDX-License-Identifier: GPL-3.0-or-later
"""Moderation over the gateway's doors: chats, the command line and the API give the same orders, and all are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest

from gateway import concert, unkept
from gateway.api import create_app
from gateway.clock import ManualClock
from gateway.config import load
from gateway.filed import note_retention
from gateway.journal import Journal, Retention, audit, decisions
from gateway.model import (
    Address,
    Alteration,
    Asking,
    BridgeName,
    Declined,
    Full,
    JournalError,
    Level,
    LinkDown,
    Matter,
    SenderId,
    Verdict,
)
from gateway.permissions import Permissions
from gateway.rulings import OPERATOR, RADIO_SILENCE, Rulings
from tests.contract.desk import CONFIG, REGISTRY, START_MS, Desk, open_desk

OP, MOD = SenderId("@op:x"), SenderId("@mod:x")
SPAM, ALI = SenderId("~spam@hilltop"), SenderId("~ali@hilltop")
TOWN = Address(BridgeName("lan"), "town")
TABLE = Permissions.of({"*": Level.READ, OP: Level.ADMIN, MOD: Level.COMMANDS})


class Boxes:
    """What boxes told each other, as one of them has it."""

    name = BridgeName("lan")

    def __init__(self) -> None:
        self.said: list[Verdict] = []
        self.is_down = False
        self.is_fading = False

    def shares(self, matter: Matter, about: str) -> bool:
        return matter is Matter.SLOW or about.startswith("~")

    def verdict(self, matter: Matter, about: str) -> Verdict | None:
        return next((one for one in reversed(self.said) if (one.matter, one.about) == (matter, about)), None)

    def verdicts(self) -> list[Verdict]:
        return list({(one.matter, one.about): one for one in self.said}.values())

    async def declare(self, verdict: Verdict) -> None:
        if self.is_down:
            raise LinkDown("the log is closed")
        self.said.append(Verdict(**{name: getattr(verdict, name) for name in Verdict.__slots__} | {"is_ours": True}))

    def fades(self, matter: Matter, about: str) -> bool:
        return self.is_fading

    def hears(self, matter: Matter, about: str, **more: object) -> None:
        fixed = {"by": SenderId("@bea:valley"), "at_ms": START_MS, "box": "valley"}
        self.said.append(Verdict(matter=matter, about=about, **fixed | more))  # type: ignore[arg-type]


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock(START_MS)


@pytest.fixture
async def journal(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Journal]:
    async with Journal(tmp_path / "journal.db", clock=clock, retention=Retention()) as opened:
        yield opened


@pytest.fixture
async def rulings(journal: Journal, clock: ManualClock) -> Rulings:
    made = Rulings(TABLE, journal.decisions, clock)
    await made.load()
    return made


@pytest.fixture
def boxes(rulings: Rulings) -> Boxes:
    rulings.community = made = Boxes()
    return made


async def deeds(rulings: Rulings) -> list[tuple[str, str, str, str]]:
    return [(one.what, one.about, one.detail, one.by) for one in await rulings.audit()]


# What is kept.


async def test_every_decision_has_an_entry_with_who_when_where_and_why(
    rulings: Rulings, clock: ManualClock, journal: Journal
) -> None:
    await rulings.mute(SPAM, for_s=3600, by=MOD, where="home/#ops", why="shouts")
    clock.advance(1)
    await rulings.unmute(SPAM, by=MOD)
    await rulings.mute(SPAM, for_s=None, by=OP, ban=True)
    await rulings.unmute(SPAM, by=OP)
    await rulings.mute(RADIO_SILENCE, for_s=60, by=OP)
    await rulings.unmute(RADIO_SILENCE, by=OP)
    await rulings.slow(TOWN, 30, by=MOD)
    await rulings.slow(TOWN, 0, by=MOD)
    await rulings.as_filed(TOWN, by=MOD)
    await rulings.allow(ALI, Level.TRANSMIT, by=OP, what="approve")
    await rulings.allow(ALI, Level.READ, by=OP, what="refuse")
    await rulings.forget(ALI, by=OP)

    expected = [
        ("mute", SPAM, "for 1 h 0 min", MOD),
        ("unmute", SPAM, "", MOD),
        ("ban", SPAM, "", OP),
        ("unban", SPAM, "", OP),
        ("silence", RADIO_SILENCE, "for 1 min", OP),
        ("unsilence", RADIO_SILENCE, "", OP),
        ("slow", "lan/town", "one line in 30 s", MOD),
        ("slow", "lan/town", "off", MOD),
        ("slow", "lan/town", "as in the file", MOD),
        ("approve", ALI, "transmit", OP),
        ("refuse", ALI, "read", OP),
        ("forget", ALI, "", OP),
    ]
    assert await deeds(rulings) == expected[::-1]
    first = (await rulings.audit())[-1]
    assert (first.at_ms, first.where, first.why, first.number) == (START_MS, "home/#ops", "shouts", 1)
    again = Rulings(TABLE, journal.decisions, clock)
    await again.load()
    assert await deeds(again) == expected[::-1]


async def test_what_changed_nothing_has_no_entry(rulings: Rulings) -> None:
    assert not await rulings.unmute(SPAM, by=OP)
    assert not await rulings.as_filed(TOWN, by=OP)
    assert not await rulings.forget(ALI, by=OP)
    with pytest.raises(Declined):
        await rulings.mute(OP, for_s=None, by=MOD)
    assert await rulings.audit() == ()


async def test_the_oldest_entries_go_and_the_numbers_go_on(rulings: Rulings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST", 5)
    for n in range(8):
        await rulings.slow(TOWN, n, by=MOD)
    found = await rulings.audit()
    assert [one.number for one in found] == [8, 7, 6, 5, 4]
    assert [one.number for one in await rulings.audit(before=6, limit=1)] == [5]


async def test_the_others_are_told_nothing_that_this_box_has_no_room_to_keep(
    rulings: Rulings, boxes: Boxes, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "MOST", 1)
    await rulings.mute(SPAM, for_s=60, by=MOD)
    await rulings.slow(TOWN, 30, by=MOD)
    told = list(boxes.said)
    with pytest.raises(Full, match="take one back first"):
        await rulings.mute(ALI, for_s=None, by=MOD)
    with pytest.raises(Full):
        await rulings.slow(Address(TOWN.bridge, "market"), 30, by=MOD)
    assert boxes.said == told

    await rulings.mute(SPAM, for_s=90, by=MOD)  # in place of the one that is kept
    clock.advance(91)
    await rulings.mute(ALI, for_s=None, by=MOD)  # and of one that has ended
    assert [one.about for one in boxes.said[len(told) :]] == [SPAM, ALI]


async def test_a_slow_room_stays_slow_after_a_restart(rulings: Rulings, journal: Journal, clock: ManualClock) -> None:
    await rulings.slow(TOWN, 30, by=MOD)
    again = Rulings(TABLE, journal.decisions, clock)
    await again.load()
    found = again.slow_of(TOWN)
    assert found is not None
    assert (found.every_s, found.by) == (30, MOD)


async def test_a_ban_is_for_admins_to_make_a_mute_of_and_to_take_back(rulings: Rulings) -> None:
    await rulings.mute(SPAM, for_s=None, by=OP, ban=True)
    assert rulings.muted(SPAM) == "the sender is banned"
    for wrong in (rulings.unmute(SPAM, by=MOD), rulings.mute(SPAM, for_s=1, by=MOD)):
        with pytest.raises(Declined, match="banned: only an admin"):
            await wrong
    assert await rulings.unmute(SPAM, by=OP)
    assert not rulings.muted(SPAM)


# What boxes decide together.


async def test_what_is_decided_of_people_at_pages_is_told_to_all_boxes_and_nothing_else(
    rulings: Rulings, boxes: Boxes
) -> None:
    await rulings.mute(SPAM, for_s=60, by=MOD)
    await rulings.slow(TOWN, 30, by=MOD)
    await rulings.mute(SenderId("@ali:x"), for_s=None, by=OP)
    await rulings.mute(RADIO_SILENCE, for_s=None, by=OP)
    await rulings.allow(ALI, Level.TRANSMIT, by=OP)
    assert [(one.matter, one.about) for one in boxes.said] == [(Matter.MUTE, SPAM), (Matter.SLOW, "town")]


async def test_what_another_box_decided_holds_and_can_be_taken_back_here(
    rulings: Rulings, boxes: Boxes, clock: ManualClock
) -> None:
    boxes.hears(Matter.MUTE, SPAM, for_s=60, why="floods")
    boxes.hears(Matter.SLOW, "town", every_s=30)
    assert rulings.muted(SPAM) == "the sender is muted, for another 1 min"
    assert [(one.sender, one.box) for one in rulings.mutes()] == [(SPAM, "valley")]
    assert [(one.room, one.every_s, one.box) for one in rulings.slow_rooms()] == [(TOWN, 30, "valley")]
    assert await rulings.unmute(SPAM, by=MOD)
    assert await rulings.as_filed(TOWN, by=MOD)
    assert [one.over for one in boxes.said[-2:]] == [True, True]
    assert (rulings.muted(SPAM), rulings.slow_of(TOWN), rulings.mutes()) == ("", None, [])
    assert [one[:3] for one in await deeds(rulings)] == [
        ("slow", "lan/town", "as in the file"),
        ("unmute", SPAM, "decided at valley"),
    ]
    boxes.hears(Matter.MUTE, SPAM, for_s=60)
    clock.advance(61)
    assert not rulings.muted(SPAM)


async def test_the_later_word_stands_whichever_box_it_is_from(rulings: Rulings, boxes: Boxes) -> None:
    await rulings.mute(SPAM, for_s=None, by=MOD)
    await rulings.slow(TOWN, 30, by=MOD)
    boxes.hears(Matter.MUTE, SPAM, over=True, why="said sorry")
    boxes.hears(Matter.SLOW, "town", every_s=0)
    assert not rulings.muted(SPAM)
    found = rulings.slow_of(TOWN)
    assert found is not None
    assert (found.every_s, found.box) == (0, "valley")
    await rulings.keep_up()
    assert len(boxes.said) == 4  # what others took back is not said again
    boxes.said.clear()  # nor once the log forgot it all
    await rulings.keep_up()
    assert (boxes.said, rulings.muted(SPAM)) == ([], "")
    assert [(one.what, one.where, one.why) for one in await rulings.audit(limit=2)] == [
        ("slow", "box valley", ""),
        ("unmute", "box valley", "said sorry"),
    ]


async def test_what_the_log_lacks_or_soon_forgets_is_said_again(rulings: Rulings, boxes: Boxes) -> None:
    await rulings.mute(SPAM, for_s=None, by=MOD)
    await rulings.slow(TOWN, 30, by=MOD)
    await rulings.keep_up()
    assert len(boxes.said) == 2
    boxes.is_fading = True
    await rulings.keep_up()
    assert len(boxes.said) == 4
    boxes.said.clear()
    boxes.is_down = True
    await rulings.keep_up()
    assert rulings.muted(SPAM)  # by this box's own word meanwhile
    boxes.is_down = boxes.is_fading = False
    await rulings.keep_up()
    assert [one.at_ms for one in boxes.said] == [START_MS, START_MS]


async def test_what_this_box_took_back_stays_so_though_it_could_not_note_that(
    rulings: Rulings, boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rulings.mute(SPAM, for_s=None, by=MOD)
    with monkeypatch.context() as broken:
        broken.setattr(rulings._mutes, "drop", full)
        assert await rulings.unmute(SPAM, by=MOD)
    assert not rulings.muted(SPAM)
    await rulings.keep_up()
    boxes.said.clear()  # the log forgets it
    await rulings.keep_up()
    assert (boxes.said, rulings.muted(SPAM)) == ([], "")


async def full(*_: object, **__: object) -> bool:
    raise JournalError("the disk is full")


async def test_a_mute_decided_before_the_clock_was_set_is_told_anew_with_its_time(tmp_path: Path, boxes: Boxes) -> None:
    clock = ManualClock(5_000)
    async with Journal(tmp_path / "unset.db", clock=clock, retention=Retention()) as journal:
        rulings = Rulings(TABLE, journal.decisions, clock)
        await rulings.load()
        rulings.community = boxes
        await rulings.mute(SPAM, for_s=3600, by=MOD)
        clock.adopt(START_MS)
        await journal.upkeep.shift(START_MS)
        await rulings.dated_anew()
        await rulings.keep_up()
        assert boxes.said[-1].at_ms == START_MS + 5_000
        assert rulings.muted(SPAM) == "the sender is muted, for another 1 h 0 min"
        await rulings.keep_up()
        assert len(boxes.said) == 2


async def test_a_box_that_decides_of_ever_more_people_leaves_this_box_s_own_audit(
    rulings: Rulings, boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MOST", 20)
    monkeypatch.setattr(audit, "MOST_ELSEWHERE", 10)
    await rulings.allow("@ali:x", Level.TRANSMIT, by=OP)
    for number in range(50):
        boxes.hears(Matter.MUTE, SenderId(f"~a{number}@valley"))
    await rulings.keep_up()
    found = await rulings.audit(limit=100)
    assert [one.about for one in found] == [*(f"~a{number}@valley" for number in range(49, 39, -1)), "@ali:x"]
    assert [one.number for one in found] == [*range(51, 41, -1), 1]


async def test_while_other_boxes_can_t_be_told_nothing_is_changed_and_that_is_said(
    rulings: Rulings, boxes: Boxes
) -> None:
    boxes.is_down = True
    with pytest.raises(Declined, match="other boxes can't be told now, so nothing was changed: the log is closed"):
        await rulings.mute(SPAM, for_s=None, by=MOD)
    assert not rulings.muted(SPAM)
    assert await rulings.audit() == ()
    await rulings.mute(SenderId("@ali:x"), for_s=None, by=MOD)


# What the others were told, and this box's journal couldn't keep.


DECIDED = [
    ("slow", "lan/town", "one line in 30 s", MOD),
    ("ban", SPAM, "", OP),
    ("unmute", SPAM, "", MOD),
    ("mute", SPAM, "for 1 min", MOD),
]


async def decide(rulings: Rulings) -> None:
    await rulings.mute(SPAM, for_s=60, by=MOD, why="floods")
    await rulings.unmute(SPAM, by=MOD)
    await rulings.mute(SPAM, for_s=None, by=OP, ban=True)
    await rulings.slow(TOWN, 30, by=MOD)


def disk_full(rulings: Rulings, patch: pytest.MonkeyPatch) -> None:
    for what in ("keep", "drop", "note"):
        patch.setattr(rulings._decisions, what, full)


async def test_what_the_disk_refused_holds_and_is_kept_in_order_once_it_is_well(
    rulings: Rulings, boxes: Boxes, journal: Journal, clock: ManualClock
) -> None:
    with pytest.MonkeyPatch.context() as broken:
        disk_full(rulings, broken)
        await decide(rulings)
        assert rulings.muted(SPAM) == "the sender is banned"
        with pytest.raises(JournalError):
            await rulings.keep_up()
    assert await deeds(rulings) == []
    for _ in range(2):
        await rulings.keep_up()
        assert await deeds(rulings) == DECIDED
    again = Rulings(TABLE, journal.decisions, clock)
    await again.load()
    assert again.muted(SPAM) == "the sender is banned"
    assert len(boxes.said) == 4


async def test_what_was_told_before_a_crash_is_kept_at_the_next_start(
    rulings: Rulings, boxes: Boxes, journal: Journal, clock: ManualClock
) -> None:
    await rulings.mute(SenderId("@ali:x"), for_s=None, by=OP)
    with pytest.MonkeyPatch.context() as broken:
        disk_full(rulings, broken)
        await decide(rulings)
    again = Rulings(TABLE, journal.decisions, clock)
    await again.load()
    again.community = boxes
    for _ in range(2):
        await again.keep_up()
        found = await again.audit()
        assert [(one.what, one.about, one.by) for one in found[:2]] == [
            ("slow", str(TOWN), MOD),
            ("ban", SPAM, OP),
        ]
        assert len(found) == 3
    boxes.said.clear()  # the log forgets it
    await again.keep_up()
    assert [(one.matter, one.ban, one.at_ms) for one in boxes.said] == [
        (Matter.MUTE, True, START_MS),
        (Matter.SLOW, False, START_MS),
    ]


async def test_what_was_taken_back_before_a_crash_is_in_the_audit_after_it(
    rulings: Rulings, boxes: Boxes, journal: Journal, clock: ManualClock
) -> None:
    await rulings.mute(SPAM, for_s=None, by=MOD)
    await rulings.slow(TOWN, 30, by=MOD)
    with pytest.MonkeyPatch.context() as broken:
        disk_full(rulings, broken)
        await rulings.unmute(SPAM, by=OP, why="said sorry")
        await rulings.as_filed(TOWN, by=OP)
    again = Rulings(TABLE, journal.decisions, clock)
    await again.load()
    again.community = boxes
    await again.keep_up()
    assert (await deeds(again))[:2] == [("slow", str(TOWN), "as in the file", OP), ("unmute", SPAM, "", OP)]
    assert (again.mutes(), again.slow_rooms()) == ([], [])
    await again.keep_up()
    assert len(await again.audit()) == 4


async def test_what_another_box_overruled_goes_only_when_the_audit_has_its_word(rulings: Rulings, boxes: Boxes) -> None:
    await rulings.mute(SPAM, for_s=None, by=MOD)
    boxes.hears(Matter.MUTE, SPAM, over=True, why="said sorry")
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(rulings._decisions, "note", full)
        with pytest.raises(JournalError):
            await rulings.keep_up()
    assert [mute.sender for mute in rulings._mutes.all()] == [SPAM]
    await rulings.keep_up()
    assert rulings._mutes.all() == []
    assert [(one.what, one.where, one.why) for one in await rulings.audit()] == [
        ("unmute", "box valley", "said sorry"),
        ("mute", "", ""),
    ]


async def test_while_too_much_waits_to_be_kept_no_box_is_told_more(
    rulings: Rulings, boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unkept, "MOST", 2)
    with pytest.MonkeyPatch.context() as broken:
        disk_full(rulings, broken)
        await rulings.mute(SPAM, for_s=60, by=MOD)
        await rulings.unmute(SPAM, by=MOD)
        with pytest.raises(JournalError):
            await rulings.mute(SPAM, for_s=60, by=MOD)
    assert len(boxes.said) == 2
    await rulings.mute(SPAM, for_s=60, by=MOD)
    assert await rulings.allow("@ali:x", Level.TRANSMIT, by=OP)
    assert [one[0] for one in await deeds(rulings)] == ["allow", "mute", "unmute", "mute"]


# The doors.


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as made:
        yield made


@pytest.fixture
async def api(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(desk, local=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        yield client


async def order(api: httpx.AsyncClient, words: str) -> str:
    answered = await api.post("/api/v1/commands", json={"command": words})
    return str(answered.json()["answer" if answered.status_code == 200 else "detail"])


async def test_the_operator_gives_every_order_over_the_api_in_the_words_of_chats(
    api: httpx.AsyncClient, desk: Desk
) -> None:
    assert "one line in 30 s" in await order(api, "slow lan/town 30s because it is loud")
    assert "banned" in await order(api, "ban ~spam@hilltop because they lie")
    assert "nothing of ~ali@hilltop" in await order(api, "mute ~ali@hilltop for 1h")
    assert "radio silence for 1 h" in await order(api, "silence for 1h because of the exercise")
    slow = (await api.get("/api/v1/slow")).json()
    assert [(one["room"], one["every_s"], one["by"]) for one in slow] == [("lan/town", 30, OPERATOR)]
    mutes = (await api.get("/api/v1/mutes")).json()
    assert (SPAM, True, "") in [(one["sender"], one["ban"], one["box"]) for one in mutes]
    found = (await api.get("/api/v1/audit", params={"limit": 3})).json()
    assert [(one["what"], one["where"], one["why"]) for one in found["audit"]] == [
        ("silence", "command line", "of the exercise"),
        ("mute", "command line", ""),
        ("ban", "command line", "they lie"),
    ]
    more = (await api.get("/api/v1/audit", params={"limit": 3, "before": found["next_before"]})).json()
    assert [one["what"] for one in more["audit"]] == ["slow"]
    assert more["next_before"] is None
    assert desk.rulings.silenced() == "radio silence, by the operator, for another 1 h 0 min"
    assert "as they like" in await order(api, "slow lan/town off")
    assert "the file decides" in await order(api, "slow lan/town usual")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("slow lan/town", "say which room"),
        ("slow home/#town 30s", "only rooms with people at a page"),
        ("slow lan/town soon", "no pause"),
        ("slow lan/town 2d", "a line in a day at most"),
        ("approve ~ali@hilltop", "didn't ask"),
        ("redrive all", "no command of moderation"),
        ("nonsense", "there is no command"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_words_and_changes_nothing(
    api: httpx.AsyncClient, desk: Desk, words: str, reason: str
) -> None:
    assert reason in await order(api, words)
    assert await desk.rulings.audit() == ()


async def test_who_asks_for_the_radio_is_listed_at_every_door_until_there_is_an_answer(
    api: httpx.AsyncClient, desk: Desk
) -> None:
    desk.asked = [Asking(sender=ALI, since_ms=START_MS - 60_000), Asking(sender=SPAM, since_ms=None)]
    assert (await api.get("/api/v1/approvals")).json() == [
        {"sender": ALI, "since_ms": START_MS - 60_000},
        {"sender": SPAM, "since_ms": None},
    ]
    page = (await api.get("/")).text
    assert "Waiting for approval" in page
    assert "<code>crossband approve ~ali@hilltop</code>" in page
    assert "may be heard" in await order(api, "approve ~ali@hilltop")
    assert "told that the answer is no" in await order(api, "refuse because nobody knows them")
    assert (desk.rulings.level_of(ALI), desk.rulings.level_of(SPAM)) == (Level.TRANSMIT, Level.READ)
    assert [(one.what, one.about) for one in await desk.rulings.audit()] == [("refuse", SPAM), ("approve", ALI)]
    assert "so already" in await order(api, "approve ~ali@hilltop")
    assert "told" in await order(api, "refuse ~ali@hilltop")  # a change of mind needs no second asking
    assert "Waiting for approval" not in (await api.get("/")).text


async def test_that_what_people_said_is_kept_longer_or_shorter_is_in_the_audit(
    journal: Journal, rulings: Rulings, clock: ManualClock, tmp_path: Path
) -> None:
    before, routes, after = CONFIG.format(data_dir=tmp_path / "data").partition("[[routes]]")

    async def start(kept: str) -> None:
        (tmp_path / "crossband.toml").write_text(f"{before}{kept}\n{routes}{after}")
        await note_retention(load(tmp_path / "crossband.toml", {}, registry=REGISTRY), journal.decisions, clock)

    await start("")
    assert await rulings.audit() == ()
    await start('[bridges.lan]\nkind = "fake"\nretention = "30d"')
    await start('[bridges.lan]\nkind = "fake"\nretention = "7d"')
    await start('[bridges.lan]\nkind = "fake"\nretention = "7d"')
    assert [(one.what, one.about, one.detail, one.where) for one in await rulings.audit()] == [
        ("retention", "bridges.lan", "30d -> 7d", "file")
    ]


class Radio:
    """A bridge with one setting."""

    def __init__(self) -> None:
        self.is_on = False

    def settings(self) -> dict[str, object]:
        return {"tx": self.is_on}

    def alterations(self, wanted: Mapping[str, str]) -> tuple[Alteration, ...]:
        return () if self.is_on else tuple(Alteration(key=key, was="off", becomes=to) for key, to in wanted.items())

    async def adjust(self, wanted: Mapping[str, str]) -> tuple[Alteration, ...]:
        found = self.alterations(wanted)
        self.is_on = True
        return found


async def test_what_was_set_is_answered_so_though_the_audit_has_it_only_once_the_disk_is_well(
    desk: Desk, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    radio = desk.adjustables[BridgeName("radio")] = Radio()
    wish = {"settings": {"tx": "on"}, "yes": True}
    with monkeypatch.context() as broken:
        disk_full(desk.rulings, broken)
        answered = await api.post("/api/v1/bridges/radio/settings", json=wish)
        assert (answered.status_code, answered.json()["done"], radio.is_on) == (200, True, True)
        radio.is_on = False
        broken.setattr(unkept, "MOST", 1)
        answered = await api.post("/api/v1/bridges/radio/settings", json=wish)
        assert (answered.status_code, answered.json()["detail"], radio.is_on) == (503, "the disk is full", False)
    await desk.rulings.keep_up()
    assert await deeds(desk.rulings) == [("set", "radio tx", "", OPERATOR)]


async def test_a_box_that_decides_for_ever_fills_no_memory(
    rulings: Rulings, boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concert, "MOST_ELSEWHERE", 5)
    for number in range(20):
        boxes.said.clear()
        boxes.hears(Matter.MUTE, SPAM, at_ms=START_MS + number)
        await rulings.keep_up()
        await rulings.keep_up()
    assert len(await rulings.audit()) == 20  # each once
    assert len(rulings._concert._noted or ()) == 5
