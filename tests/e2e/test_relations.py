# SPDX-License-Identifier: GPL-3.0-or-later
"""What refers to a message finds it on the other side, through the real command, a real homeserver, and a radio."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from tests.e2e.world import LISTENER, NEAR, WITHIN_S, World


async def of_the_gateway(world: World, kind: str, *, least: int = 1) -> list[dict[str, Any]]:
    """Wait for events of this kind that the gateway's account sent; return their contents, oldest first."""
    room = quote(world.watcher.room_id)
    async with asyncio.timeout(WITHIN_S):
        while True:
            page = await world.watcher.call("GET", f"rooms/{room}/messages?dir=b&limit=100")
            mine = [e["content"] for e in reversed(page["chunk"]) if (e["sender"], e["type"]) == (world.bot, kind)]
            if len(mine) >= least:
                return mine
            await asyncio.sleep(0.1)


async def react(world: World, event_id: str, emoji: str) -> None:
    relation = {"rel_type": "m.annotation", "event_id": event_id, "key": emoji}
    for who in (world.person, world.another):
        await who.send("m.reaction", {"m.relates_to": relation})


async def test_reactions_cross_both_ways_and_one_emoji_of_two_people_is_one_tapback(world: World) -> None:
    said = await world.person.say("Bread at nine")
    heard = await world.heard("Baker: Bread at nine")
    await world.settled()
    await world.radio.call("say", node=NEAR, text="❤", reply_id=heard.id, emoji=1)
    (reaction,) = await of_the_gateway(world, "m.reaction")
    assert reaction["m.relates_to"] == {"rel_type": "m.annotation", "event_id": said, "key": "❤\ufe0f"}

    packet = await world.radio.say(NEAR, "Stalls are up")
    seen = await world.seen("Stalls are up")
    await world.settled()
    await react(world, seen.event_id, "👍")
    await world.person.say("Coming")
    await world.heard("Baker: Coming")
    tapbacks = [heard for heard in world.radio.heard if heard.text == "👍" and heard.node == LISTENER]
    assert [tapback.reply_id for tapback in tapbacks] == [packet]


async def test_an_answer_to_any_part_of_a_long_text_finds_it_and_stays_in_its_thread(world: World) -> None:
    root = await world.person.say("Who brings what?")
    thread = {"rel_type": "m.thread", "event_id": root, "is_falling_back": True}
    long = "I bring " + "bread and " * 25 + "wine"
    content = {"msgtype": "m.text", "body": long, "m.relates_to": {**thread, "m.in_reply_to": {"event_id": root}}}
    said = await world.person.send("m.room.message", content)
    last = await world.radio.heard.wait_for(
        lambda heard: heard.text.endswith("wine (2/2)") and heard.node == LISTENER, timeout_s=WITHIN_S
    )
    await world.settled()
    await world.radio.say(NEAR, "Too much", reply_to=last.id)
    await world.seen("Too much")

    answers = await of_the_gateway(world, "m.room.message")
    relation = next(answer["m.relates_to"] for answer in answers if answer["body"].endswith("Too much"))
    assert relation == {**thread, "is_falling_back": False, "m.in_reply_to": {"event_id": said}}


async def test_what_was_on_the_air_is_corrected_in_words_and_that_it_stands_is_told_who_takes_it_back(
    world: World,
) -> None:
    said = await world.person.say("Bread at nine")
    heard = await world.heard("Baker: Bread at nine")
    await world.settled()
    new = {"msgtype": "m.text", "body": "Bread at ten"}
    relation = {"rel_type": "m.replace", "event_id": said}
    await world.person.send("m.room.message", {**new, "m.new_content": new, "m.relates_to": relation})
    corrected = await world.heard("Baker: *corrected: Bread at ten")
    assert corrected.reply_id == heard.id

    await world.settled()
    await world.person.call("PUT", f"rooms/{quote(world.person.room_id)}/redact/{quote(said)}/r1", {})
    notices = [c for c in await of_the_gateway(world, "m.room.message", least=2) if "taken back" in c["body"]]
    assert [notice["body"] for notice in notices] == [
        "⚠️ not taken back on LongFast: what was sent there can't be taken back"
    ]
    assert notices[0]["m.relates_to"] == {"m.in_reply_to": {"event_id": said}}


async def test_nobodys_words_and_no_token_are_in_the_gateways_log(world: World) -> None:
    secret = "xyzzy-plugh"
    await world.person.say(f"{secret} from the room")
    await world.heard(f"Baker: {secret} from the room")
    await world.radio.say(NEAR, f"{secret} from the air")
    await world.seen(f"{secret} from the air")
    await world.person.say(f"{secret} too long " * 200)
    await of_the_gateway(world, "m.room.message", least=2)
    await world.radio.unplug()
    await world.person.say(f"{secret} to nobody")
    assert await world.box.stop() == 0

    written = world.box.log.read_text()
    assert "bridge_down" in written
    assert secret not in written
    assert world.box.wiring.access_token not in written
