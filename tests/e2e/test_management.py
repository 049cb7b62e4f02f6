# SPDX-License-Identifier: GPL-3.0-or-later
"""People bridge rooms and open direct chats from Matrix, through the whole gateway, onto the air and back."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from bridges.sim.person import Person, Seen
from bridges.sim.synapse import Synapse
from tests.e2e.world import LISTENER, NEAR, World, build_world

pytest.importorskip("gateway.rerouting", reason="there are no routes made in chats yet")

_NONCE = itertools.count(1)
MAY_COMMAND = '"@*-baker:*" = "commands"'
"""More of the configuration: it ends in the table of permissions."""


@pytest.fixture
async def world(synapse: Synapse) -> AsyncIterator[World]:
    async with build_world(synapse, more=MAY_COMMAND) as made:
        yield made


async def new_room(world: World, *, version: str, direct: bool = False) -> str:
    """A room of the baker's with the gateway in it."""
    wish = {"invite": [world.bot], "is_direct": direct, "room_version": version}
    room_id = str((await world.person.call("POST", "createRoom", wish))["room_id"])
    while await membership(world.person, room_id, world.bot) != "join":
        await asyncio.sleep(0.05)
    return room_id


async def membership(who: Person, room_id: str, user_id: str) -> str:
    path = f"rooms/{quote(room_id)}/state/m.room.member/{quote(user_id)}"
    return str((await who.call("GET", path)).get("membership"))


async def ask(world: World, room_id: str, words: str) -> str:
    asked = await world.person.say(words, room_id=room_id)
    answer = await world.person.seen.wait_for(lambda seen: seen.reply_to == asked, timeout_s=40)
    assert answer.msgtype == "m.notice"
    return answer.text


async def in_room(who: Person, room_id: str, text: str) -> Seen:
    return await who.seen.wait_for(lambda seen: seen.text == text and seen.room_id == room_id, timeout_s=40)


async def reactions(who: Person, room_id: str, event_id: str) -> list[str]:
    page = await who.call("GET", f"rooms/{quote(room_id)}/messages?dir=b&limit=50")
    relations: list[dict[str, Any]] = [
        event["content"].get("m.relates_to", {}) for event in page["chunk"] if event["type"] == "m.reaction"
    ]
    return [relation["key"] for relation in relations if relation.get("event_id") == event_id]


@pytest.mark.parametrize("version", ["11", "12"])
async def test_a_room_is_bridged_in_a_chat_carries_both_ways_over_a_restart_and_is_unbridged(
    world: World, version: str
) -> None:
    room_id = await new_room(world, version=version)
    assert "anyone in range can read it" in await ask(world, room_id, "!mesh bridge LongFast")
    assert (await ask(world, room_id, "!mesh confirm")).startswith("Bridged to radio/LongFast")
    await world.person.say("First from the new room", room_id=room_id)
    await world.heard("Baker: First from the new room")
    await world.box.kill9()
    await world.box.start()
    await world.radio.say(NEAR, "Hello new room")
    await in_room(world.person, room_id, "Hello new room")
    assert "no longer bridged" in await ask(world, room_id, "!mesh unbridge")
    await world.person.say("Nobody hears this", room_id=room_id)
    await world.person.say("The town does", room_id=world.person.room_id)
    await world.heard("Baker: The town does")
    assert "Baker: Nobody hears this" not in world.all_heard()


async def test_a_direct_chat_opened_in_bot_mode_reaches_one_radio_and_says_when_it_acknowledged(world: World) -> None:
    office = await new_room(world, version="12", direct=True)
    answer = await ask(world, office, f'dm "{NEAR}" Only for you')
    heard = await world.heard("Baker: Only for you", node=NEAR)
    assert heard.direct
    room_id = answer.partition("#/")[2].partition("?")[0].replace("%21", "!")
    await world.person.call("POST", f"join/{quote(room_id)}", {})
    shown = await in_room(world.person, room_id, "Baker: Only for you")
    while await reactions(world.person, room_id, shown.event_id) != ["✅"]:
        await asyncio.sleep(0.1)

    await world.radio.say(NEAR, "Got it", to=world.radio.gateway)
    await in_room(world.person, room_id, "Got it")
    said = await world.person.say("Thanks", room_id=room_id)
    assert (await world.heard("Baker: Thanks", node=NEAR)).direct
    while await reactions(world.person, room_id, said) != ["✅"]:
        await asyncio.sleep(0.1)
    assert not {"Baker: Only for you", "Baker: Thanks"} & set(world.all_heard(node=LISTENER))
    assert not [seen for seen in world.watcher.seen if seen.text == "Got it"], "the town doesn't read along"


async def test_a_radios_direct_message_opens_a_chat_with_the_operator_who_answers_there(synapse: Synapse) -> None:
    async with build_world(synapse, more=MAY_COMMAND) as world:
        await world.box.stop()
        config = world.box.config.read_text()
        town = json.dumps(f"home/{world.town.alias}")
        user = json.dumps(f"home/{world.person.user_id}")
        world.box.config.write_text(config.replace(f"direct = {town}", f'direct = {user}\npositions = "request"'))
        await world.box.start()
        await world.radio.say(NEAR, "Operator, are you there?", to=world.radio.gateway)
        while not (invites := await invited(world.person)):
            await asyncio.sleep(0.1)
        (room_id,) = invites
        await world.person.call("POST", f"join/{quote(room_id)}", {})
        await in_room(world.person, room_id, "Operator, are you there?")
        await world.person.say("I am", room_id=room_id)
        assert (await world.heard("Baker: I am", node=NEAR)).direct
        await world.radio.say(NEAR, "Good", to=world.radio.gateway)
        await in_room(world.person, room_id, "Good")
        assert await invited(world.person) == []
        # Whoever chats with a node may ask it where it is; a slow mesh has said so by the second time.
        where = await ask(world, room_id, "!mesh position")
        while "is being asked" in where:
            await asyncio.sleep(1)
            where = await ask(world, room_id, "!mesh position")
        assert ": geo 47." in where


async def invited(who: Person) -> list[str]:
    # Synapse gives the same answer to the same question for two minutes; the timeout is part of it.
    answer = await who.call("GET", f"sync?timeout={next(_NONCE)}")
    return list(answer.get("rooms", {}).get("invite", {}))
