# SPDX-License-Identifier: GPL-3.0-or-later
"""People in a room see what becomes of what they said there: through the real command, a real homeserver, a radio."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from bridges.sim.synapse import Synapse
from tests.e2e.world import NEAR, World, build_world

PROGRESS = """
[bridges.home.progress]
reactions = {reactions}
waiting_after_s = 1
"""
EVERY_STAGE = '{ waiting = "⏳", sent = "📤", heard = "👂", delivered = "✅", failed = "❌" }'
FROM_OTHERS = {"room": {"timeline": {"limit": 1}, "ephemeral": {"types": ["m.receipt"]}}}


@pytest.fixture
async def showing_world(synapse: Synapse) -> AsyncIterator[World]:
    async with build_world(synapse, more=PROGRESS.format(reactions="true")) as world:
        yield world


@pytest.fixture
async def talkative_world(synapse: Synapse) -> AsyncIterator[World]:
    async with build_world(synapse, more=PROGRESS.format(reactions=EVERY_STAGE)) as world:
        yield world


async def events(world: World) -> list[dict[str, Any]]:
    """Return what the gateway's account sent, oldest first."""
    room = quote(world.watcher.room_id)
    page = await world.watcher.call("GET", f"rooms/{room}/messages?dir=b&limit=100")
    return [event for event in reversed(page["chunk"]) if event["sender"] == world.bot]


async def marks(world: World, event_id: str) -> list[str]:
    """Return the gateway's reactions that stand at an event."""
    relations = [(e["content"].get("m.relates_to", {}), e) for e in await events(world) if e["type"] == "m.reaction"]
    return [relation["key"] for relation, _ in relations if relation.get("event_id") == event_id]


async def read_upto(world: World) -> str | None:
    """Return the event of the gateway's read receipt."""
    # Synapse gives the same answer to the same question for two minutes; this one is another each time.
    query = urlencode({"filter": json.dumps(FROM_OTHERS), "timeout": str(random.randrange(10_000))})
    answer = await world.watcher.call("GET", f"sync?{query}")
    room = answer["rooms"]["join"][world.watcher.room_id]
    for event in room["ephemeral"]["events"]:
        for event_id, kinds in event["content"].items():
            if world.bot in kinds.get("m.read", {}):
                return event_id
    return None


async def until(world: World, ask: Any, wanted: Any) -> None:
    async def is_so() -> bool:
        return await ask() == wanted

    await world.box.wait_until(is_so)


async def test_a_text_to_an_unplugged_radio_waits_visibly_and_is_through_visibly(showing_world: World) -> None:
    world = showing_world
    first = await world.person.say("in time")
    await world.heard("Baker: in time")
    await until(world, lambda: read_upto(world), first)
    assert await marks(world, first) == []

    await world.mesh.unplug()
    second = await world.person.say("hello?")
    await until(world, lambda: marks(world, second), ["⏳"])
    await world.box.kill9()  # what it shows must not depend on its memory
    await world.box.start(until="ready")
    assert await read_upto(world) == first
    await world.mesh.plug()

    await until(world, lambda: marks(world, second), ["✅"])
    await until(world, lambda: read_upto(world), second)
    await asyncio.sleep(1.0)  # what came back to the gateway would have gone on the air by now
    assert world.all_heard() == ["Baker: in time", "Baker: hello?"]
    assert world.all_seen() == []


async def test_what_cannot_go_out_is_told_once_with_the_reason(showing_world: World) -> None:
    world = showing_world
    said = await world.person.say("x" * 5000)
    await until(world, lambda: marks(world, said), ["❌"])
    await world.box.kill9()
    await world.box.start()
    last = await world.person.say("shorter")
    await world.heard("Baker: shorter")
    await until(world, lambda: read_upto(world), last)

    (told,) = [event for event in await events(world) if event["content"].get("m.relates_to", {}).get("m.in_reply_to")]
    assert told["content"]["msgtype"] == "m.notice"
    assert told["content"]["body"].startswith("⚠️ not sent to LongFast: ")
    assert told["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": said}}
    assert await marks(world, said) == ["❌"]
    assert "xxxx" not in world.box.log.read_text()


async def test_what_the_radio_tells_of_a_text_is_shown_and_no_more_than_that(talkative_world: World) -> None:
    world = talkative_world
    to_all = await world.person.say("to all")
    await until(world, lambda: marks(world, to_all), ["👂"])

    await world.radio.say(NEAR, "only for the town", to=world.radio.gateway)
    asked = await world.seen("only for the town")
    answer = await world.person.say("only for you", reply_to=asked.event_id)
    await until(world, lambda: marks(world, answer), ["✅"])
    assert await marks(world, to_all) == ["👂"], "a neighbour relayed it: nobody said more"
