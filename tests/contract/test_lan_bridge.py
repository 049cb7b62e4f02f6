# SPDX-License-Identifier: GPL-3.0-or-later
"""The LAN bridge of one box: what is said at the page is received once, what the core sends is shown once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.alone import LOG_FILE
from bridges.lan.diary import ROOMS_FILE
from bridges.lan.entries import Standing, said_body, standing_body
from bridges.lan.identity import box_key
from bridges.lan.log import Log
from bridges.lan.membership import Add, root_of
from bridges.lan.page.wording import standing
from bridges.lan.store import Store
from gateway.clock import ManualClock
from gateway.model import (
    Address,
    BridgeName,
    Describes,
    Directory,
    Edit,
    Leg,
    LinkDown,
    Message,
    MessageId,
    Progress,
    Reaction,
    Redaction,
    Reflects,
    Rejected,
    RemoteId,
    Sender,
    SenderId,
    State,
    Text,
)
from tests.contract.lan_box import TOWN, LanBox, from_radio, join, said, shown, texts

OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
RADIO = Address(BridgeName("radio"), "LongFast")
SINCE = 1_790_000_000_000


@pytest.fixture
def box(tmp_path: Path) -> LanBox:
    return LanBox(tmp_path)


class OtherBox:
    """A box that this one let in, whose events are put into its log while it isn't running."""

    def __init__(self, box: LanBox) -> None:
        self.folder = box.folder
        self.events = Store(":memory:")
        key = box_key(box.folder)
        self._key, self._root = key, root_of(key.public_key(), "hilltop")
        self._mine = Log(self.events, OTHER, self._root, start=7)
        self._let_in = False

    def say(self, entries: Sequence[tuple[str, str]], now_ms: int = SINCE, *, own_ms: int | None = None) -> None:
        """`own_ms`: what its own clock shows."""
        store = Store(self.folder / LOG_FILE)
        log = Log(store, self._key, self._root, start=99)
        if not self._let_in:
            log.state(Add(key=OTHER.public_key().public_bytes_raw(), name="valley"), now_ms)
            self._let_in = True
        self._mine.take(log.delta(self._mine.frontier()), now_ms)
        for native, body in entries:
            self._mine.append(native, body, now_ms if own_ms is None else own_ms)
        taken = log.take(self._mine.delta(log.frontier()), now_ms)
        assert not taken.skipped
        store.close()


def valley(text: str, native: str, **more: object) -> tuple[str, str]:
    """Return what somebody at the other box's page said."""
    message = from_radio(text, native, sender=Sender(id=SenderId("~bo@valley"), name="bo"), **more)
    return native, said_body(message, "town")


async def test_a_line_from_the_page_is_received_under_its_own_id_and_only_once(box: LanBox) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
        first = await said(bridge, ali, "anybody there?")
        again = await said(bridge, ali, "hello?", reply_to=first.id)
        one, two = await box.received(bridge, 2)
    assert (one.native_id, one.remote_id, one.origin) == (first.id, first.id, TOWN)
    assert (one.sender, one.content) == (Sender(id=SenderId("~ali@hilltop"), name="ali"), Text(body="anybody there?"))
    assert (two.native_id, two.reply_to) == (again.id, first.id)
    async with box.running() as bridge:
        await box.nothing_more(bridge)


async def test_what_was_not_stored_is_received_again(box: LanBox) -> None:
    async with box.running() as bridge:
        line = await said(bridge, join(bridge, "ali"), "hello")
        await box.received(bridge, 1)
    box.resume = None
    async with box.running() as bridge:
        (again,) = await box.received(bridge, 1)
    assert again.native_id == line.id


async def test_what_the_core_sends_is_shown_and_not_received(box: LanBox) -> None:
    async with box.running() as bridge:
        receipt = await bridge.send(from_radio("from the ridge"), TOWN, key="k.0")
        again = await bridge.send(from_radio("from the ridge"), TOWN, key="k.1")
        (line,) = await bridge.hall.lines("town")
        await box.nothing_more(bridge)
    assert receipt.remote_id == again.remote_id == RemoteId("mt:a1b2c301:17") == line.id
    assert (line.sender, line.name, line.network, line.text) == (
        "!a1b2c301",
        "Ridge relay",
        "radio",
        "from the ridge",
    )


async def test_a_message_for_two_rooms_is_shown_once_in_each(box: LanBox) -> None:
    async with box.running() as bridge:
        for _ in range(2):
            await bridge.send(from_radio("flood"), TOWN, key="k.0")
            await bridge.send(from_radio("flood"), Address(TOWN.bridge, "warnings"), key="l.0")
        assert await texts(bridge) == await texts(bridge, "warnings") == ["flood"]
        (copy,) = await bridge.hall.lines("warnings")
        assert copy.id == "mt:a1b2c301:17"
        await box.nothing_more(bridge)


async def test_reactions_edits_and_redactions_are_of_the_line_and_of_who_may(box: LanBox) -> None:
    target = RemoteId("mt:a1b2c301:17")
    async with box.running() as bridge:
        ali, bo = join(bridge, "ali"), join(bridge, "bo")
        await bridge.send(from_radio(Reaction(target=target, emoji="👍"), "mt:5:5"), TOWN, key="early.0")
        await bridge.send(from_radio("from teh ridge"), TOWN, key="k.0")
        await bridge.send(from_radio(Edit(target=target, body="from the ridge"), "mt:a1b2c301:18"), TOWN, key="l.0")
        await bridge.hall.react(ali, "town", target, "👍")  # the same person twice is one mark
        await bridge.hall.react(ali, "town", target, "👍")
        await bridge.hall.react(bo, "town", target, "🎪")
        (line,) = await bridge.hall.lines("town")
        assert line.text == "from the ridge"
        assert [(mark.emoji, mark.count) for mark in line.marks] == [("👍", 2), ("🎪", 1)]

        mine = await said(bridge, ali, "oops")
        assert "only who said it" in str(await bridge.hall.take_back(bo, "town", mine.id))
        await bridge.hall.take_back(ali, "town", mine.id)
        forged = Sender(id=SenderId("!ffffffff"), name="Mallory")
        await bridge.send(from_radio(Redaction(target=target), "mt:ff:1", sender=forged), TOWN, key="m.0")
        first, second = await bridge.hall.lines("town")
    assert (first.text, first.gone) == ("from the ridge", False)
    assert (second.text, second.gone) == ("", True)


async def test_a_matrix_moderator_takes_back_what_somebody_else_said_in_matrix(box: LanBox) -> None:
    moderator = Sender(id=SenderId("@mod:example.org"), name="Mod")
    rude = Sender(id=SenderId("@rude:example.org"), name="Rude")
    async with box.running() as bridge:
        await bridge.send(from_radio("rude", "mx:$1", sender=rude), TOWN, key="k.0")
        taken = from_radio(Redaction(target=RemoteId("mx:$1")), "mx:$2", sender=moderator)
        await bridge.send(taken, TOWN, key="l.0")
        (line,) = await bridge.hall.lines("town")
    assert line.gone


async def test_what_other_boxes_say_is_received_in_the_order_it_came_with_who_said_it(box: LanBox) -> None:
    async with box.running() as bridge:
        mine = await said(bridge, join(bridge, "ali"), "hello")
        await box.received(bridge, 1)
    other = OtherBox(box)
    reaction = from_radio(
        Reaction(target=RemoteId(mine.id), emoji="👍"), "mx:$r", sender=Sender(id=SenderId("@c:x"), name="C")
    )
    other.say([valley("in the valley", "web:v:1"), ("mx:$r", said_body(reaction, "town"))])
    async with box.running() as bridge:
        one, two = await box.received(bridge, 2)
        first, second = await shown(bridge, 2)
        assert isinstance(bridge, Directory)
        assert [(node.name, node.role) for node in bridge.nodes()] == [("valley", "box")]
        assert isinstance(bridge, Describes)
        assert bridge.describe()["other boxes"] == "valley (not heard)"
    assert (one.native_id, one.sender.id, one.content) == ("web:v:1", "~bo@valley", Text(body="in the valley"))
    assert (two.sender.id, two.content) == ("@c:x", Reaction(target=RemoteId(mine.id), emoji="👍"))
    assert [(mark.emoji, mark.count) for mark in first.marks] == [("👍", 1)]
    assert (second.network, second.verified, second.text) == ("page", False, "in the valley")


async def test_what_another_box_wrote_badly_is_counted_and_the_rest_goes_on(box: LanBox) -> None:
    async with box.running():
        pass
    bad = [("web:v:0", "no json"), ("web:v:1", '{"v":1,"kind":"text"}'), ("web:v:2", '{"v":2,"kind":"text"}')]
    OtherBox(box).say([*bad, ("", '{"v":1,"kind":"poll"}'), valley("good", "web:v:3")])
    async with box.running() as bridge:
        (one,) = await box.received(bridge, 1)
        assert [line.text for line in await shown(bridge, 1)] == ["good"]
    assert one.native_id == "web:v:3"
    assert box.counts == {"lan_entry_unreadable": 2, "lan_entry_unknown": 2}


async def test_a_line_says_how_far_it_got_by_this_box_and_by_others(box: LanBox) -> None:
    async with box.running() as bridge:
        line = await said(bridge, join(bridge, "ali"), "hello")
        assert isinstance(bridge, Reflects)
        await bridge.reflect([progress(line.id, State.SENT)])
        await bridge.reflect([progress(line.id, State.HEARD)])
    away = Standing(about=line.id, leg="home/#town:x", state="waiting", reason="the homeserver is away")
    OtherBox(box).say([("", standing_body(away))])
    async with box.running() as bridge, asyncio.timeout(5):
        following = bridge.hall.follow("town")
        while "waiting" not in (found := (await bridge.hall.lines("town"))[0].state):
            await anext(following)
        await following.aclose()
    assert sorted(found.split("; ")) == [
        "home/#town:x (valley): waiting, the homeserver is away",
        "radio/LongFast: heard",
    ]


async def test_guests_are_told_that_a_network_is_away_and_not_which_device_that_is(box: LanBox) -> None:
    cut = Leg(to=RADIO, state=State.QUEUED, reason="/dev/ttyUSB0: is not there; is it plugged in", cut=True)
    odd = Leg(to=Address(BridgeName("home"), "#town"), state=State.FAILED, reason="no; home/#ops: sent")
    async with box.running() as bridge:
        line = await said(bridge, join(bridge, "ali"), "hello")
        assert isinstance(bridge, Reflects)
        await bridge.reflect([replace(progress(line.id, State.SENT), legs=(cut, odd))])
        (found,) = await bridge.hall.lines("town")
    told = [str(standing("en", part)) for part in found.state.split("; ")]
    assert sorted(told) == [
        "home/#town: failed, whoever runs this box can see why",
        "radio/LongFast: queued, not connected just now",
    ]


async def test_the_state_of_another_box_s_line_goes_into_the_log_once(box: LanBox) -> None:
    async with box.running():
        pass
    OtherBox(box).say([valley("in the valley", "web:v:1")])
    async with box.running() as bridge:
        await box.received(bridge, 1)
        for state in (State.SENT, State.SENT, State.HEARD):
            await bridge.reflect([progress("web:v:1", state)])
        await bridge.reflect([progress("mt:a1b2c301:17", State.SENT)])  # nobody's at a page
        await bridge.reflect([progress("web:v:1", State.QUEUED)])  # no news
    async with box.running() as bridge:
        await bridge.reflect([progress("web:v:1", State.HEARD)])  # as the core does when it starts
    store = Store(box.folder / LOG_FILE)
    states = [one.event.body for one in store.news(0, 100) if '"state"' in one.event.body]
    store.close()
    assert len(states) == 2
    assert '"heard"' in states[1]


async def test_who_follows_a_room_is_told_of_lines_and_of_changes(box: LanBox) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
        following = bridge.hall.follow("town")
        line = await said(bridge, ali, "hello")
        await bridge.hall.react(ali, "town", line.id, "👍")
        await bridge.reflect([progress(line.id, State.SENT)])
        async with asyncio.timeout(5):
            seen = [await anext(following) for _ in range(3)]
        await following.aclose()
    assert [(one.id, len(one.marks), one.state) for one in seen] == [
        (line.id, 0, ""),
        (line.id, 1, ""),
        (line.id, 1, "radio/LongFast: sent"),
    ]


async def test_a_slow_follower_is_ended_and_comes_again_with_the_last_it_had(box: LanBox) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
        following = bridge.hall.follow("town")
        for number in range(300):
            await said(bridge, ali, f"line {number}")
        async with asyncio.timeout(5):
            seen = [line async for line in following]
        assert len(seen) < 300
        rest = await bridge.hall.lines("town", after=seen[-1].arrival, limit=100)
        assert rest[0].text == f"line {len(seen)}"
        page = await bridge.hall.lines("town", before=rest[0].arrival, limit=2)
    assert [line.text for line in page] == [f"line {len(seen) - 2}", f"line {len(seen) - 1}"]


async def test_a_log_that_was_lost_hides_nothing_that_is_said_after_it(box: LanBox) -> None:
    async with box.running() as bridge:
        ali = join(bridge, "ali")
        for number in range(5):
            await said(bridge, ali, f"line {number}")
        await box.received(bridge, 5)
    for path in box.folder.glob(f"{LOG_FILE}*"):
        path.unlink()
    async with box.running() as bridge:
        line = await said(bridge, join(bridge, "ali"), "after it")
        (found,) = await box.received(bridge, 1)
        assert await texts(bridge) == ["after it"]
    assert found.native_id == line.id


async def test_a_log_put_back_from_an_image_hides_nothing_that_is_said_after_it(box: LanBox) -> None:
    async with box.running() as bridge:
        await said(bridge, join(bridge, "ali"), "kept")
    image = (box.folder / LOG_FILE).read_bytes()
    async with box.running() as bridge:
        await said(bridge, join(bridge, "ali"), "lost")
        await box.received(bridge, 2)
    for path in box.folder.glob(f"{LOG_FILE}*"):
        path.unlink()
    (box.folder / LOG_FILE).write_bytes(image)
    async with box.running() as bridge:
        await said(bridge, join(bridge, "ali"), "after it")
        found = await box.received(bridge, 2)  # the first the core knows, and drops
        assert await texts(bridge) == ["kept", "after it"]
    assert [one.content for one in found] == [Text(body="kept"), Text(body="after it")]


async def test_rooms_that_are_damaged_are_made_anew_from_the_log(box: LanBox) -> None:
    async with box.running() as bridge:
        await said(bridge, join(bridge, "ali"), "hello")
    (box.folder / ROOMS_FILE).write_bytes(b"no database" * 1000)
    async with box.running() as bridge:
        await said(bridge, join(bridge, "ali"), "again")
        assert await texts(bridge) == ["hello", "again"]


async def test_a_log_that_can_t_be_opened_is_a_link_that_is_down(box: LanBox) -> None:
    (box.folder / LOG_FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(LinkDown):
        async with box.running():
            pass


async def test_what_is_too_large_for_an_entry_is_rejected(box: LanBox) -> None:
    async with box.running() as bridge:
        with pytest.raises(Rejected):
            await bridge.send(from_radio("\x01" * 12_000), TOWN, key="k.0")


def progress(line: str, state: State) -> Progress:
    return Progress(
        message_id=MessageId("m"),
        at=TOWN,
        remote_id=RemoteId(line),
        seq=1,
        received_ms=1,
        kind="text",
        legs=(Leg(to=RADIO, state=state),),
    )


async def test_a_box_that_comes_to_a_community_shows_its_history_and_routes_the_last_day_of_it(box: LanBox) -> None:
    async with box.running():
        pass
    day_ms = 86_400_000
    now_ms = box.clock.now_ms()
    old = from_radio("long ago", "mt:5:1", received_ms=now_ms - 2 * day_ms)
    new = from_radio("just now", "mt:5:2", received_ms=now_ms - day_ms // 2)
    OtherBox(box).say([(one.native_id, said_body(one, "town")) for one in (old, new)], now_ms)
    async with box.running() as bridge:
        (found,) = await box.received(bridge, 1)
        lines = await shown(bridge, 2)
    assert [(line.text, line.late) for line in lines] == [("long ago", True), ("just now", True)]
    assert (found.content, found.received_ms) == (Text(body="just now"), new.received_ms)
    assert box.counts == {"lan_entry_not_replayed": 1}


async def test_what_a_box_with_a_wrong_clock_says_is_said_no_later_than_now(box: LanBox) -> None:
    async with box.running():
        pass
    now_ms = box.clock.now_ms()
    future = from_radio("from the future", "mt:5:1", received_ms=now_ms + 10**9)
    OtherBox(box).say([("mt:5:1", said_body(future, "town"))], now_ms + 10**9)
    async with box.running() as bridge:
        (found,) = await box.received(bridge, 1)
    assert now_ms <= found.received_ms <= box.clock.now_ms()


async def test_what_matrix_kept_for_a_day_is_shown_as_delayed_and_is_no_older_to_others_than_the_box_has_it(
    box: LanBox,
) -> None:
    day_ms = 86_400_000
    async with box.running() as bridge:
        now_ms = box.clock.now_ms()
        await bridge.send(from_radio("of yesterday", "mx:$a", received_ms=now_ms, late_ms=day_ms), TOWN, key="k")
        (line,) = await shown(bridge, 1)
    assert (line.said_ms, line.late) == (now_ms - day_ms, True)

    late = from_radio("of the day before", "mx:$b", received_ms=now_ms - 5000, late_ms=2 * day_ms)
    OtherBox(box).say([(late.native_id, said_body(late, "town"))], now_ms)
    async with box.running() as bridge:
        (found,) = await box.received(bridge, 1)
        *_, line = await shown(bridge, 2)
    assert (found.received_ms, found.said_ms) == (late.received_ms, late.said_ms)
    assert (line.said_ms, line.late) == (late.said_ms, True)


@pytest.mark.parametrize("ahead_ms", [1, 5_000, 59_000])
async def test_a_box_whose_clock_is_behind_takes_lines_of_others_for_said_just_now(box: LanBox, ahead_ms: int) -> None:
    box.clock = ManualClock(SINCE)
    async with box.running():
        pass
    ahead = from_radio("hello", "mt:5:1", received_ms=SINCE + ahead_ms)
    OtherBox(box).say([(ahead.native_id, said_body(ahead, "town"))], SINCE + ahead_ms)
    async with box.running() as bridge:
        (found,) = await box.received(bridge, 1)
        (line,) = await shown(bridge, 1)
    assert (found.received_ms, line.said_ms, line.late) == (SINCE, SINCE, False)
    assert not box.counts


@pytest.mark.parametrize("now_ms", [SINCE, 60_000])
async def test_a_line_of_a_box_without_a_clock_is_received_as_fresh(box: LanBox, now_ms: int) -> None:
    box.clock = ManualClock(now_ms)
    async with box.running():
        pass
    other = OtherBox(box)
    # All it knows of the time is what was said last, many hours ago.
    other.say([valley("good night", "web:v:1", received_ms=SINCE - 50_000_000)], SINCE - 50_000_000)
    other.say([valley("good morning", "web:v:2", received_ms=90_000)], now_ms, own_ms=90_000)
    async with box.running() as bridge:
        _, found = await box.received(bridge, 2)
        *_, line = await shown(bridge, 2)
    assert found.content == Text(body="good morning")
    assert found.received_ms == now_ms
    assert not line.late


async def test_a_clock_that_is_set_back_while_a_box_listens_makes_nothing_too_old(box: LanBox) -> None:
    clock = box.clock = ManualClock(SINCE + 40 * 86_400_000)
    async with box.running() as bridge, aclosing(bridge.receive()) as messages:
        await said(bridge, join(bridge, "ali"), "before")
        await anext(messages)
        clock.step(SINCE - clock.now_ms())
        clock.adopt(clock.measure())
        await said(bridge, join(bridge, "ali"), "after")
        found = await asyncio.wait_for(anext(messages), 5)
    assert isinstance(found, Message)
    assert found.content == Text(body="after")
    assert not box.counts


async def test_a_box_waits_for_news_though_the_last_that_came_is_none_any_more(box: LanBox) -> None:
    async with box.running() as bridge:
        await said(bridge, join(bridge, "ali"), "hello")
        shared = bridge._diary.shared
        assert await shared.last_arrival() == 1
        await shared.retain(2**53)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(shared.wait(0), 0.05)
