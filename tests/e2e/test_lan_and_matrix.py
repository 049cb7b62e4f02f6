# SPDX-License-Identifier: GPL-3.0-or-later
"""People at a page and people in a Matrix room: names, replies, reactions, corrections, and what is taken back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from bridges.lan.hall import Line
from bridges.sim.loopback import LOOPBACK
from gateway.config import control_socket
from gateway.control import Control
from gateway.model import NativeId, message_id
from tests.e2e.lan_gateway import LanGateway
from tests.e2e.world import NEAR, WITHIN_S, World
from tests.lan_boxes import Cable

_LAN = """
[bridges.lan]
kind = "lan"
page = "127.0.0.1:0"
sync = "127.0.0.1:0"
[[routes]]
name = "page"
join = ["home/{room}", "lan/town", "radio/LongFast"]
"""


@pytest.fixture
async def gateway(world: World) -> AsyncIterator[LanGateway]:
    """The world's own box is replaced by one in this process, that has a page too."""
    await world.box.stop()
    with world.box.config.open("a") as config:
        config.write(_LAN.format(room=world.town.alias))
    async with LanGateway(world.box.config).running() as running:
        yield running


async def events(world: World, holds: Any) -> dict[str, Any]:
    """Wait for an event of the gateway's of which this holds."""
    room = quote(world.watcher.room_id)
    async with asyncio.timeout(WITHIN_S):
        while True:
            page = await world.watcher.call("GET", f"rooms/{room}/messages?dir=b&limit=100")
            for event in page["chunk"]:
                if event["sender"] == world.bot and holds(event["content"]):
                    return dict(event)
            await asyncio.sleep(0.1)


async def test_a_room_and_a_page_are_one_conversation(world: World, gateway: LanGateway) -> None:
    asked = await world.person.say("Who has bread?")
    question = await gateway.line(lambda line: line.text == "Who has bread?")
    assert (question.name, question.network, question.verified) == ("Baker", "matrix", True)
    assert (question.sender, question.id) == (world.person.user_id, f"mx:{asked}")

    mine = await gateway.say("Me, at nin", reply_to=question.id)
    answer = await events(world, lambda content: content.get("body", "").endswith("Me, at nin"))
    assert answer["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == asked
    profile = answer["content"]["com.beeper.per_message_profile"]
    assert (profile["id"], profile["displayname"]) == ("~ali@hilltop", "ali")

    hall, ali = gateway.lan.hall, gateway.join("ali")
    assert isinstance(await hall.edit(ali, "town", mine.id, "Me, at nine"), Line)
    edit = await events(world, lambda content: "m.new_content" in content)
    assert edit["content"]["m.relates_to"] == {"rel_type": "m.replace", "event_id": answer["event_id"]}
    assert isinstance(await hall.react(ali, "town", question.id, "👍"), Line)
    reaction = await events(world, lambda content: content.get("m.relates_to", {}).get("key") == "👍")
    assert reaction["content"]["m.relates_to"]["event_id"] == asked

    relation = {"rel_type": "m.annotation", "event_id": answer["event_id"], "key": "🎪"}
    await world.another.send("m.reaction", {"m.relates_to": relation})
    marked = await gateway.line(lambda line: line.id == mine.id and bool(line.marks))
    assert [(mark.emoji, mark.count) for mark in marked.marks] == [("🎪", 1)]
    new = {"msgtype": "m.text", "body": "Who has good bread?"}
    change = {**new, "m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": asked}}
    await world.person.send("m.room.message", change)
    await gateway.line(lambda line: line.id == question.id and line.text == "Who has good bread?")

    room = quote(world.person.room_id)
    await world.person.call("PUT", f"rooms/{room}/redact/{quote(asked)}/gone", {})
    gone = await gateway.line(lambda line: line.id == question.id and line.gone)
    assert gone.text == ""
    taken = await hall.take_back(ali, "town", mine.id)
    assert isinstance(taken, Line)
    assert taken.gone
    async with asyncio.timeout(WITHIN_S):
        while "redacted_because" not in (await _event(world, answer["event_id"]))["unsigned"]:
            await asyncio.sleep(0.1)

    await world.radio.say(NEAR, "Stalls are up")
    heard = await gateway.line(lambda line: line.text == "Stalls are up")
    assert (heard.name, heard.network, heard.verified) == (NEAR, "radio", False)
    assert heard.sender == f"!{world.radio.nodes[NEAR]:08x}"


AWAY_S = 4.0
NEAR_MS = 1_500
"""Two processes' clocks and an answer's way, on a busy machine."""


async def test_what_is_said_in_a_room_that_cannot_be_reached_has_the_time_it_was_said(world: World) -> None:
    await world.box.stop()
    async with Cable(f"{LOOPBACK}:{world.synapse.port}") as internet:
        config = world.box.config.read_text() + _LAN.format(room=world.town.alias)
        assert world.synapse.url in config
        world.box.config.write_text(config.replace(world.synapse.url, f"http://{internet.address}"))
        async with LanGateway(world.box.config).running() as gateway:
            fresh = await _is_shown(world, gateway, await world.person.say("Before"))
            internet.cut()
            said = await world.person.say("While the line was cut")
            await asyncio.sleep(AWAY_S)
            internet.join()
            kept = await _is_shown(world, gateway, said)
            told = await _told(world.box.config, said)
        said = await world.person.say("While the box was off")
        await asyncio.sleep(AWAY_S)
        async with LanGateway(world.box.config).running() as gateway:
            missed = await _is_shown(world, gateway, said)
    assert fresh < AWAY_S * 1000 <= min(kept, missed)
    assert AWAY_S * 1000 <= told["received_ms"] - told["said_ms"] <= kept + NEAR_MS


async def _is_shown(world: World, gateway: LanGateway, event_id: str) -> int:
    """Wait until a line of the room is at the page, with its time; return how long after that it came there (ms)."""
    line = await gateway.line(lambda line: line.id == f"mx:{event_id}")
    now_ms = time.time() * 1000
    event = await _event(world, event_id)
    assert abs(line.said_ms - event["origin_server_ts"]) < NEAR_MS
    return round(now_ms - line.said_ms)


async def _told(config: Path, event_id: str) -> dict[str, Any]:
    """Return what ``crossband messages show`` shows of it."""
    control = Control(control_socket(config, {}))
    return dict(await asyncio.to_thread(control.get, f"/messages/{message_id(NativeId(f'mx:{event_id}'))}"))


async def _event(world: World, event_id: str) -> dict[str, Any]:
    room = quote(world.person.room_id)
    return {"unsigned": {}, **await world.person.call("GET", f"rooms/{room}/event/{quote(event_id)}")}
