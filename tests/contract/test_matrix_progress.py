# SPDX-License-Identifier: GPL-3.0-or-later
"""What a room is shown of its messages' fate, by a real homeserver: to people, and to another gateway in the room."""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from bridges.matrix import reflector
from bridges.matrix.bridge import MatrixBridge
from bridges.matrix.pace import Pace, Rate
from bridges.sim.synapse import Synapse
from gateway.model import Address, Leg, LinkDown, MessageId, NotThere, Progress, RateLimited, RemoteId, Showing, State
from tests.contract.harness_matrix import Cable
from tests.contract.test_matrix_bridge import HOME, PATIENCE_S, RADIO, Box, bodies, listening, take
from tests.services import Town, build_town

LAN = Address(RADIO.bridge, "#1")


@pytest.fixture
def box(town: Town, tmp_path: Path) -> Box:
    return Box(town, tmp_path / "state", progress={"reactions": True})


def progress(town: Town, event_id: str, *legs: Leg | State, number: int = 1, age_s: float = 60) -> Progress:
    made = (Leg(to=RADIO, state=leg) if isinstance(leg, State) else leg for leg in legs)
    return Progress(
        message_id=MessageId(f"message {event_id}"),
        at=Address(HOME, town.alias),
        remote_id=RemoteId(event_id),
        seq=number,
        received_ms=round((time.time() - age_s) * 1000),
        kind="text",
        legs=tuple(made),
    )


async def marks(town: Town, event_id: str) -> list[str]:
    """Return the reactions that stand at an event, as a client would count them."""
    path = f"/_matrix/client/v1/rooms/{quote(town.room_id)}/relations/{quote(event_id)}/m.annotation"
    page = await town.server.request("GET", path, token=town.ali.account.access_token)
    return [event["content"]["m.relates_to"]["key"] for event in page["chunk"]]


async def read_upto(town: Town) -> str | None:
    # Synapse gives the same answer to the same question for two minutes; this one is another each time.
    wanted = json.dumps({"room": {"timeline": {"limit": 1}}})
    query = urlencode({"filter": wanted, "timeout": random.randrange(10_000)})
    answer = await town.server.request("GET", f"/_matrix/client/v3/sync?{query}", token=town.ali.account.access_token)
    receipts = [e for e in answer["rooms"]["join"][town.room_id]["ephemeral"]["events"] if e["type"] == "m.receipt"]
    found = [
        who for e in receipts for who, kinds in e["content"].items() if town.bot.user_id in kinds.get("m.read", {})
    ]
    return found[0] if found else None


async def said(town: Town, number: int) -> list[str]:
    return [await town.ali.say(town.room_id, f"m{n}") for n in range(number)]


async def test_a_read_receipt_says_that_the_radio_has_it_and_only_moves_on(town: Town, box: Box) -> None:
    events = await said(town, 3)
    news = [progress(town, event, State.SENT, number=n) for n, event in enumerate(events)]
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        await bridge.reflect([progress(town, events[0], State.QUEUED, age_s=0)])
        assert await read_upto(town) is None
        await bridge.reflect(news[:2])
        assert await read_upto(town) == events[1]
        await bridge.reflect(news[:1])
        assert await read_upto(town) == events[1]
    async with asyncio.timeout(PATIENCE_S), box.bridge() as restarted:
        await restarted.reflect(news[:1])
        assert await read_upto(town) == events[1], "the homeserver knows which is later"
        await restarted.reflect(news)
        assert await read_upto(town) == events[2]
    assert await town.ali.heard(town.room_id) == []


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_waiting_mark_stands_until_the_message_is_through(town: Town, box: Box, restarts: bool) -> None:
    (event,) = await said(town, 1)
    bridge = box.bridge()
    shown = []
    for state in (State.QUEUED, State.QUEUED, State.SENT, State.SENT, State.HEARD):
        bridge = box.bridge() if restarts else bridge
        async with asyncio.timeout(PATIENCE_S), bridge:
            await bridge.reflect([progress(town, event, state)])
            shown.append(await marks(town, event))
    assert shown == [["⏳"], ["⏳"], ["✅"], ["✅"], ["✅"]]


async def test_a_mark_that_was_put_as_the_gateway_died_is_taken_away_all_the_same(town: Town, box: Box) -> None:
    (event,) = await said(town, 1)
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        await bridge.reflect([progress(town, event, State.QUEUED)])
    kept = box.context.state_dir / "progress.json"
    board = json.loads(kept.read_text())
    board["marks"][event]["reaction"] = None  # as it is between asking and the answer
    kept.write_text(json.dumps(board))
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        await bridge.reflect([progress(town, event, State.FAILED)])
    assert await marks(town, event) == ["❌"]


async def test_a_message_for_several_is_through_when_all_have_it(town: Town, box: Box) -> None:
    (event,) = await said(town, 1)
    shown = []
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        for state in (State.QUEUED, State.SENT):
            await bridge.reflect([progress(town, event, State.SENT, Leg(to=LAN, state=state))])
            shown.append((await marks(town, event), await read_upto(town)))
    assert shown == [(["⏳"], None), (["✅"], event)]


async def test_a_failure_is_told_once_with_the_reason_in_a_reply_that_pings_nobody(town: Town, box: Box) -> None:
    (event,) = await said(town, 1)
    lost = progress(town, event, Leg(to=RADIO, state=State.EXPIRED, reason="too old for this network"))
    for _ in range(2):
        async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
            await bridge.reflect([lost])
            await bridge.reflect([lost])
    (told,) = await town.ali.heard(town.room_id)
    assert told["content"]["msgtype"] == "m.notice"
    assert told["content"]["body"] == "⚠️ expired before it could be sent to LongFast: too old for this network"
    assert told["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": event}}
    assert told["content"]["m.mentions"] == {}
    assert await marks(town, event) == ["❌"]


async def test_a_backlog_that_was_folded_is_one_notice(town: Town, box: Box) -> None:
    events = await said(town, 12)
    leg = Leg(to=RADIO, state=State.FOLDED, reason="12 earlier ones in one text")
    news = [progress(town, event, leg, number=n) for n, event in enumerate(events)]
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        await bridge.reflect(news)
    (told,) = await town.ali.heard(town.room_id)
    assert told["content"]["body"] == (
        "⚠️ of 12 messages: 12 folded into a digest for LongFast: 12 earlier ones in one text"
    )
    assert sum([await marks(town, event) == ["📦"] for event in events]) == 9, "as many as the pace allows"
    assert box.counts.count("matrix_progress_skipped") == 3


async def test_what_is_owed_waits_its_turn_and_what_is_not_is_left_out(
    town: Town, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "Pace", lambda: Pace(Rate(burst=3, every_s=0.5), Rate(burst=100, every_s=0.1)))
    events = await said(town, 5)
    waiting = [progress(town, event, State.QUEUED, number=n) for n, event in enumerate(events)]
    through = [progress(town, event, State.SENT, number=n) for n, event in enumerate(events)]
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        await bridge.reflect(waiting)
        assert [await marks(town, event) for event in events] == [["⏳"], ["⏳"], ["⏳"], [], []]
        turns = 0
        while True:
            try:
                await bridge.reflect(through)
            except RateLimited as slower:
                turns += 1
                assert await read_upto(town) == events[-1], "receipts don't wait"
                await asyncio.sleep(slower.retry_after_s or 0)
            else:
                break
    assert turns > 0
    assert [await marks(town, event) for event in events] == [["✅"], ["✅"], ["✅"], [], []]


async def test_a_notice_whose_answer_was_lost_is_told_once_though_more_failed_meanwhile(
    own_synapse: Synapse, tmp_path: Path
) -> None:
    town = await build_town(own_synapse)
    events = await said(town, 2)
    first, second = (progress(town, event, State.FAILED, number=n) for n, event in enumerate(events))
    async with Cable(own_synapse.port) as cable, asyncio.timeout(PATIENCE_S):
        box = Box(town, tmp_path / "state", homeserver=f"http://127.0.0.1:{cable.port}")
        async with box.bridge() as bridge:
            cable.answers.clear()
            telling = asyncio.create_task(bridge.reflect([first]))
            while not await town.ali.heard(town.room_id):
                await asyncio.sleep(0.05)
            await cable.cut()
            with suppress(Exception):
                await telling
            cable.answers.set()
            await cable.mend()
            await bridge.reflect([first, second])
    told = [
        event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] for event in await town.ali.heard(town.room_id)
    ]
    assert told == events
    await town.ali.client.close()


async def test_nothing_of_it_is_carried_on_by_us_or_by_another_gateway_in_the_room(town: Town, tmp_path: Path) -> None:
    other = await town.server.register_user("other-gateway")
    await town.ali.client.room_invite(town.room_id, other.user_id)
    boxes = [
        Box(town, tmp_path / "one", progress={"reactions": True, "notices": "all"}),
        Box(town, tmp_path / "two", token=other.access_token, user_id=other.user_id),
    ]
    async with listening(boxes[0].bridge()) as ours, listening(boxes[1].bridge()) as theirs:
        one = await town.ali.say(town.room_id, "one")
        heard = [await take(items, 1) for items in (ours, theirs)]
        teller = boxes[0].bridge()
        async with teller:
            await teller.reflect([progress(town, one, State.QUEUED)])
            await teller.reflect([progress(town, one, State.FAILED)])
            await teller.reflect([progress(town, one, State.SENT)])
        await town.ali.say(town.room_id, "two")
        heard += [await take(items, 1) for items in (ours, theirs)]
    assert [bodies(messages) for messages in heard] == [["one"], ["one"], ["two"], ["two"]]
    assert await marks(town, one) == ["✅"]
    skipped = [count for count in boxes[1].counts if count.startswith("matrix_skipped_")]
    assert len(skipped) == 3 + 2 + 3, "reactions, redactions, notices"
    # Of a reaction that was taken away nothing is left to tell whose it was.
    assert skipped.count("matrix_skipped_other_bridge") + skipped.count("matrix_skipped_malformed") == len(skipped)
    assert skipped.count("matrix_skipped_malformed") <= 2


async def test_a_room_that_takes_no_reactions_costs_the_rest_nothing(town: Town, box: Box) -> None:
    (event,) = await said(town, 1)
    levels = {"events": {"m.reaction": 100}, "users": {}}
    await town.ali.state(town.room_id, "m.room.power_levels", levels)
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        await bridge.reflect([progress(town, event, State.FAILED)])
    assert "matrix_progress_refused" in box.counts
    assert len(await town.ali.heard(town.room_id)) == 1


async def test_where_we_are_not_nobody_is_told(town: Town, box: Box) -> None:
    await town.ali.state(town.room_id, "m.room.join_rules", {"join_rule": "invite"})
    bridge = box.bridge()
    with pytest.raises(LinkDown):
        await bridge.reflect([progress(town, "$x", State.SENT)])
    async with asyncio.timeout(PATIENCE_S), bridge:
        elsewhere = progress(town, "$x", State.SENT)
        with pytest.raises(NotThere):
            await bridge.reflect([replace(elsewhere, at=Address(HOME, "#nowhere:gw.test"))])


def test_what_is_not_configured_is_not_asked_for(town: Town, tmp_path: Path) -> None:
    quiet = Box(town, tmp_path / "quiet", progress={"receipts": False, "notices": "off", "reactions": False}).bridge()
    assert quiet.showing is None
    assert isinstance(quiet, MatrixBridge)
    assert Box(town, tmp_path / "usual").bridge().showing == Showing(waiting_after_s=None)
