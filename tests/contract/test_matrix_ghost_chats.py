# SPDX-License-Identifier: GPL-3.0-or-later
"""Direct chats with nodes' ghosts, in appservice mode on a real homeserver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridges.matrix.appservice.bridge import AppserviceBridge
from bridges.matrix.client import Refused
from gateway.model import Address, BridgeName, Level, Message, NativeId, Sender, SenderId, Text
from tests.contract.front_desk import HOME, FrontDesk

pytest.importorskip("tests.appservice", reason="there is no appservice mode yet")
from tests.appservice import Gate, Registered, Village, registered, serving, until, village, words, working

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


async def reason_of_leaving(town: Village, room_id: str, ghost: str) -> str:
    """Wait until a ghost has left, and return what it said of that."""
    while True:
        state = await town.ali.client.room_get_state_event(room_id, "m.room.member", ghost)
        if state.content["membership"] == "leave":
            return str(state.content["reason"])
        await asyncio.sleep(0.05)


async def test_a_ghost_declines_who_may_not_write_to_radios(town: Village) -> None:
    desk = Desk(levels={town.ali.id: Level.READ})
    bridge = town.bridge(desk=desk, level_of=desk.level_of, conversations=())
    async with working(bridge):
        room_id = await town.ali.create_room(invite=(GHOST,), is_direct=True)
        await until(lambda: "matrix_direct_declined" in town.counts)
        reason = await reason_of_leaving(town, room_id, GHOST)
    assert "may not write to radios" in reason


async def test_a_ghost_of_a_node_that_nobody_heard_declines(town: Village) -> None:
    stranger = "@mesh_0000beef:gw.test"
    desk = Desk()
    bridge = town.bridge(desk=desk, level_of=desk.level_of, conversations=())
    async with working(bridge):
        room_id = await town.ali.create_room(invite=(stranger,), is_direct=True)
        await until(lambda: "matrix_direct_declined" in town.counts)
        reason = await reason_of_leaving(town, room_id, stranger)
    assert reason == "No radio here has heard of !0000beef."
    assert not desk.routes


async def rooms_of(bridge: AppserviceBridge) -> list[str]:
    return list((await bridge._client.get("joined_rooms"))["joined_rooms"])


async def test_a_box_in_no_room_makes_one_for_itself_once_though_it_forgets_that(town: Village) -> None:
    for forgets in (False, False, True):
        if forgets:
            (town.folder / "made.json").unlink()
        bridge, gate = probed(town.bridge(conversations=()))
        async with working(bridge, gate):
            await until(lambda gate=gate: gate.probed)
            (own,) = await rooms_of(bridge)
            facts = bridge.describe()
            created = await bridge._client.get("rooms", own, "state", "m.room.create", "")
            rule = await bridge._client.get("rooms", own, "state", "m.room.join_rules", "")
            there = await bridge._client.get("rooms", own, "joined_members")
        assert facts["rooms"] == "0 of 0"
        assert not [fact for fact in facts if fact in ("own_room", "pushes") or fact.startswith("!")]
        assert (created["m.federate"], rule["join_rule"], list(there["joined"])) == (False, "invite", [town.bot_id])


async def test_a_box_in_a_room_makes_none(town: Village) -> None:
    bridge, gate = probed(town.bridge())
    async with working(bridge, gate):
        await until(lambda: gate.probed)
        assert await rooms_of(bridge) == [town.room_id]


async def test_a_box_that_doesnt_listen_makes_none(town: Village) -> None:
    bridge = town.bridge(listen=False, conversations=())
    async with working(bridge), serving(town.bridge()):
        await until(lambda: bridge.describe()["ping"].startswith(("ok", "the homeserver")))
        assert await rooms_of(bridge) == []


async def test_a_homeserver_that_makes_no_rooms_is_told_of_in_words(town: Village) -> None:
    bridge, gate = probed(town.bridge(conversations=()))
    make = bridge._client.post

    async def refuses(*path: str, **more: Any) -> Mapping[str, Any]:
        if path == ("createRoom",):
            raise Refused("the homeserver answered 403 M_FORBIDDEN", status=403, errcode="M_FORBIDDEN")
        return await make(*path, **more)

    bridge._client.post = refuses  # type: ignore[method-assign]
    async with working(bridge, gate):
        await until(lambda: "own_room" in bridge.describe())
        assert bridge.describe()["own_room"] == (
            "the homeserver lets us make none: the homeserver answered 403 M_FORBIDDEN"
        )
    assert "matrix_own_room_failed" in town.counts


def probed(bridge: AppserviceBridge) -> tuple[AppserviceBridge, Gate]:
    return bridge, Gate(bridge.app)  # type: ignore[attr-defined]
