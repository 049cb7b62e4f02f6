# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads, mentions, names and statuses on a real homeserver; and what of all that is in the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridges.sim.synapse import Synapse
from gateway.model import Address, Edit, Leg, LinkDown, MessageId, Progress, Reaction, RemoteId, State, Text
from gateway.model import RoutedConversation as Routed
from tests.contract.test_matrix_bridge import HOME, PATIENCE_S, RADIO, Box, bodies, listening, radio_says, take
from tests.services import Person, Town, person


@pytest.fixture
def box(town: Town, tmp_path: Path) -> Box:
    return Box(town, tmp_path / "state")


@pytest.fixture
async def another_ali(town: Town, synapse: Synapse) -> AsyncIterator[Person]:
    """Somebody else of the same name, in the same room."""
    await town.ali.state(town.room_id, "m.room.join_rules", {"join_rule": "public"})
    other = await person(synapse, "alison", displayname="ALI")
    await other.client.join(town.room_id)
    yield other
    await other.client.close()


def here(town: Town) -> Address:
    return Address(HOME, town.alias)


@pytest.mark.parametrize("restarts", [False, True])
async def test_an_answer_to_what_is_in_a_thread_stays_there(town: Town, box: Box, restarts: bool) -> None:
    async with listening(box.bridge()) as items:
        root = await town.ali.say(town.room_id, "who brings what?")
        relation = {"rel_type": "m.thread", "event_id": root, "is_falling_back": True}
        within = {"m.relates_to": {**relation, "m.in_reply_to": {"event_id": root}}}
        bread = await town.ali.say(town.room_id, "I bring bread", **within)
        started, message = await take(items, 2)
        assert (started.reply_to, message.reply_to) == (None, None), "it only falls back"
        if not restarts:
            bridge = items.ag_frame.f_locals["self"]
            await bridge.send(radio_says("I bring wine", reply_to=RemoteId(bread)), here(town), key="w.0")
    if restarts:
        async with asyncio.timeout(PATIENCE_S), box.bridge() as again:
            await again.send(radio_says("I bring wine", reply_to=RemoteId(bread)), here(town), key="w.0")
            await again.send(radio_says("to all", number=2, reply_to=RemoteId(root)), here(town), key="a.0")
    wine = (await town.ali.heard(town.room_id))[0]["content"]["m.relates_to"]
    assert wine == {**relation, "is_falling_back": False, "m.in_reply_to": {"event_id": bread}}
    if restarts:
        outside = (await town.ali.heard(town.room_id))[1]["content"]["m.relates_to"]
        assert outside == {"m.in_reply_to": {"event_id": root}}


async def test_an_answer_or_a_reaction_to_a_correction_is_one_to_what_was_corrected(town: Town, box: Box) -> None:
    said = await town.ali.say(town.room_id, "at nine")
    new = {"msgtype": "m.text", "body": "at ten"}
    replacing = {"m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": said}}
    edit = RemoteId(await town.ali.say(town.room_id, "* at ten", **replacing))
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        await bridge.send(radio_says("fine", reply_to=edit), here(town), key="f.0")
        await bridge.send(radio_says("", number=2, content=Reaction(target=edit, emoji="👍")), here(town), key="t.0")
    events = [event for event in await town.ali.events(town.room_id) if event["sender"] == town.bot.user_id]
    relations = [event["content"]["m.relates_to"] for event in events if "m.relates_to" in event["content"]]
    assert relations == [
        {"m.in_reply_to": {"event_id": said}},
        {"rel_type": "m.annotation", "event_id": said, "key": "👍"},
    ]


async def test_a_correction_of_what_another_boxs_account_said_is_said_in_words_and_one_of_our_own_replaces_it(
    town: Town, box: Box
) -> None:
    theirs = await town.ali.say(town.room_id, "as another box says it")
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        ours = (await bridge.send(radio_says("at nin"), here(town), key="o.0")).remote_id
        for number, target in enumerate((theirs, ours), 2):
            edit = Edit(target=RemoteId(target), body="at nine")
            await bridge.send(radio_says("", number=number, content=edit), here(town), key=f"e{number}.0")
    _, in_words, replacement = (event["content"] for event in await town.ali.heard(town.room_id))
    assert in_words["body"].endswith("*corrected: at nine")
    assert in_words["m.relates_to"] == {"m.in_reply_to": {"event_id": theirs}}
    assert replacement["m.relates_to"] == {"rel_type": "m.replace", "event_id": ours}


async def test_a_radio_speaks_to_the_one_person_of_that_name(town: Town, box: Box) -> None:
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        for number, words in enumerate(("@Ali come", "@ali come", "@Alison", "@room")):
            await bridge.send(radio_says(words, number=number), here(town), key=f"m{number}.0")
    mentions = [event["content"]["m.mentions"] for event in await town.ali.heard(town.room_id)]
    assert mentions == [{"user_ids": [town.ali.id]}, {}, {}, {}]


async def test_a_name_that_two_people_have_pings_neither(town: Town, box: Box, another_ali: Person) -> None:
    await another_ali.client.set_displayname("Ali")
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        await bridge.send(radio_says("@Ali come"), here(town), key="m.0")
    heard = [event for event in await town.ali.heard(town.room_id) if event["sender"] == town.bot.user_id]
    assert heard[-1]["content"]["m.mentions"] == {}


async def test_two_people_of_one_name_are_told_apart_and_a_chosen_name_survives_a_restart(
    town: Town, box: Box, another_ali: Person
) -> None:
    bridge = box.bridge()
    async with listening(bridge) as items:
        await town.ali.say(town.room_id, "one")
        await another_ali.say(town.room_id, "two")
        await town.ali.say(town.room_id, f"{another_ali.id}: three")
        first, second, third = await take(items, 3)
        assert first.sender == third.sender
        assert (first.sender.name[:7], second.sender.name) == ("Ali/ali", "ALI/alis")
        assert bodies([third]) == ["ALI: three"]
        assert bridge.people.nicks.set(town.ali.id, "Ford")
    async with listening(box.bridge()) as items:
        await town.ali.say(town.room_id, "four")
        (fourth,) = await take(items, 1)
        assert fourth.sender.name == "Ford"


async def test_markup_that_ends_a_parser_does_not_end_the_bridge(town: Town, box: Box) -> None:
    async with listening(box.bridge()) as items:
        for markup in ("ok<![<", "<b>" * 1_000):
            content = {"msgtype": "m.text", "body": "", "format": "org.matrix.custom.html", "formatted_body": markup}
            await town.ali.put(town.room_id, "m.room.message", content)
        await town.ali.say(town.room_id, "still here")
        messages = await take(items, 2)
    assert bodies(messages) == ["ok", "still here"]


async def test_the_same_emoji_from_radio_and_room_is_one_reaction(town: Town, box: Box) -> None:
    said = await town.ali.say(town.room_id, "married!")
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        for number, emoji in enumerate(("❤", "❤\ufe0f")):
            heart = radio_says("", number=number, content=Reaction(target=RemoteId(said), emoji=emoji))
            await bridge.send(heart, here(town), key=f"h{number}.0")
    reactions = [event for event in await town.ali.events(town.room_id) if event["type"] == "m.reaction"]
    assert [event["content"]["m.relates_to"]["key"] for event in reactions] == ["❤\ufe0f"]


async def test_beepers_status_is_an_event_that_refers_to_the_message(town: Town, tmp_path: Path) -> None:
    box = Box(town, tmp_path / "beeper", progress={"beeper": True, "notices": "off"})
    said = await town.ali.say(town.room_id, "hi")
    news = Progress(
        message_id=MessageId("m1"),
        at=here(town),
        remote_id=RemoteId(said),
        seq=1,
        received_ms=0,
        kind="text",
        legs=(Leg(to=RADIO, state=State.SENT),),
    )
    async with asyncio.timeout(PATIENCE_S), box.bridge() as bridge:
        await bridge.reflect([news])
        await bridge.reflect([news])
    (status,) = [e for e in await town.ali.events(town.room_id) if e["type"] == "com.beeper.message_send_status"]
    assert status["content"]["status"] == "SUCCESS"
    assert status["content"]["m.relates_to"] == {"rel_type": "m.reference", "event_id": said}


async def test_a_room_that_lets_us_in_is_told_of_to_whoever_waits_for_it(town: Town, box: Box) -> None:
    room_id = await town.ali.create_room()
    appeared: list[str] = []
    bridge = box.bridge(conversations=(Routed(name=room_id),), appeared=appeared.append)
    async with listening(bridge) as items:
        assert appeared == []
        waiting = asyncio.ensure_future(anext(items))
        await town.ali.client.room_invite(room_id, town.bot.user_id)
        while room_id not in appeared:
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


SECRET = "xyzzy-plugh"


async def test_no_words_names_or_tokens_are_in_the_log(town: Town, box: Box) -> None:
    async def takes(items: Any, bridge: Any) -> None:
        await town.ali.say(town.room_id, f"{SECRET} one")
        await town.ali.say(town.room_id, "", format="org.matrix.custom.html", formatted_body=f"<![<{SECRET}")
        await town.ali.put(town.room_id, "m.room.message", {"msgtype": "m.notice", "body": SECRET, SECRET: SECRET})
        await town.ali.put(town.room_id, "m.reaction", {"m.relates_to": {"key": SECRET}})
        await town.ali.say(town.room_id, f"{SECRET} two")
        await take(items, 2)
        await bridge.send(radio_says(f"{SECRET} three", name=SECRET), here(town), key="k.0")
        for wrong in (Text(body=SECRET * 9_000), Reaction(target=RemoteId("$no"), emoji=SECRET)):
            with pytest.raises(Exception, match="answered") as refused:
                await bridge.send(radio_says("", number=9, content=wrong), here(town), key="w.0")
            assert SECRET not in str(refused.value)

    with capture_logs() as logs:
        bridge = box.bridge()
        async with listening(bridge) as items:
            await takes(items, bridge)
        nowhere = replace(box.context, table={**box.context.table, "homeserver": "http://127.0.0.1:1"})
        with pytest.raises(LinkDown) as lost:
            await box.bridge(table=nowhere.table).__aenter__()
    written = json.dumps([entry for entry in logs if entry["log_level"] != "debug"], default=repr)
    assert len(logs) > 1, "a log that says nothing proves nothing"
    for secret in (SECRET, town.bot.access_token):
        assert secret not in written
        assert secret not in str(lost.value)
