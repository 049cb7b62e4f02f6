# SPDX-License-Identifier: GPL-3.0-or-later
"""Direct chats with nodes' ghosts, in appservice mode on a real homeserver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.model import Address, BridgeName, Level, Message, NativeId, Sender, SenderId, Text
from tests.contract.front_desk import HOME, FrontDesk

pytest.importorskip("tests.appservice", reason="there is no appservice mode yet")
from tests.appservice import Registered, Village, registered, until, village, words, working

BADCAFE = Address(BridgeName("radio"), "!0badcafe")
GHOST = "@mesh_0badcafe:gw.test"


class Desk(FrontDesk):
    def resolve(self, there: str) -> Address:
        return BADCAFE if there == "!0badcafe" else super().resolve(there)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Registered]:
    async with registered(tmp_path_factory.mktemp("appservice")) as made:
        yield made


@pytest.fixture
async def town(home: Registered, tmp_path: Path) -> AsyncIterator[Village]:
    async with village(home, tmp_path / "box") as made:
        yield made


def node_says(body: str, number: int) -> Message:
    return Message(
        native_id=NativeId(f"mt:0badcafe:{number}"),
        origin=BADCAFE,
        sender=Sender(id=SenderId("!0badcafe"), name="Base camp"),
        content=Text(body=body),
        received_ms=number,
    )


@pytest.mark.parametrize("version", ["11", "12"])
async def test_inviting_a_nodes_ghost_opens_a_chat_in_which_it_speaks_itself(town: Village, version: str) -> None:
    desk = Desk()
    bridge = town.bridge(desk=desk, level_of=desk.level_of, conversations=())
    desk.bridge = bridge
    async with working(bridge) as core:
        room_id = await town.ali.create_room(invite=(GHOST,), is_direct=True, room_version=version)
        await until(lambda: desk.routes)
        assert desk.routes[0].ends == (Address(HOME, room_id), BADCAFE)
        await town.ali.say(room_id, "are you there?")
        await until(lambda: core.journal)
        await bridge.send(node_says("yes", 1), Address(HOME, room_id), key="k1.0")
        said = [event for event in await town.ali.heard(room_id) if event["content"]["msgtype"] == "m.text"]
        assert [(event["sender"], event["content"]["body"]) for event in said] == [(GHOST, "yes")]
        await bridge.send(node_says("still here", 2), Address(HOME, town.ali.id), key="k2.0")
        assert (await town.ali.heard(room_id))[-1]["content"]["body"] == "still here"
    (message,) = core.journal
    assert (words([message]), message.origin) == (["are you there?"], Address(HOME, room_id))


async def test_a_radio_that_writes_first_opens_the_chat_by_its_ghost(town: Village) -> None:
    desk = Desk()
    bridge = town.bridge(desk=desk, level_of=desk.level_of, conversations=())
    desk.bridge = bridge
    async with working(bridge):
        await bridge.send(node_says("hello", 1), Address(HOME, town.ali.id), key="k1.0")
        room_id = desk.routes[0].ends[0].conversation
        await town.ali.client.join(room_id)
        said = [event for event in await town.ali.heard(room_id) if event["content"]["msgtype"] == "m.text"]
        assert [(event["sender"], event["content"]["body"]) for event in said] == [(GHOST, "hello")]
        await town.ali.client.room_leave(room_id)
        await until(lambda: not desk.routes)


async def test_a_ghost_declines_who_may_not_write_to_radios(town: Village) -> None:
    desk = Desk(levels={town.ali.id: Level.READ})
    bridge = town.bridge(desk=desk, level_of=desk.level_of, conversations=())
    async with working(bridge):
        room_id = await town.ali.create_room(invite=(GHOST,), is_direct=True)
        await until(lambda: "matrix_direct_declined" in town.counts)
        while True:
            state = await town.ali.client.room_get_state_event(room_id, "m.room.member", GHOST)
            if state.content["membership"] == "leave":
                break
            await asyncio.sleep(0.05)
    assert "may not write to radios" in state.content["reason"]
