# SPDX-License-Identifier: GPL-3.0-or-later
"""Direct chats with radio nodes, and a Space, on a real homeserver."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridges.matrix.client import Client
from bridges.matrix.management.throttle import BURST
from gateway.model import Address, Level, Message, NativeId, Sender, SenderId, Text, short_hash
from tests.contract.front_desk import HIKING, HOME, LONG_FAST, NODE, Box, FrontDesk, ask
from tests.services import Person, Town, person

CONFIRM = "!mesh confirm"
LINK = re.compile(r"https://matrix\.to/#/(%21[^?]+)\?via=gw\.test")


@pytest.fixture
def desk(town: Town) -> FrontDesk:
    return FrontDesk(levels={town.ali.id: Level.COMMANDS})


@pytest.fixture
def box(town: Town, tmp_path: Path, desk: FrontDesk) -> Box:
    return Box(town, tmp_path / "state", desk)


@pytest_asyncio.fixture
async def eve(town: Town) -> AsyncIterator[Person]:
    who = await person(town.server, "eve", displayname="Eve")
    yield who
    await who.client.close()


async def chat_with_the_gateway(town: Town, who: Person) -> str:
    return await with_the_gateway(town, who, is_direct=True)


async def with_the_gateway(town: Town, who: Person, **more: Any) -> str:
    room_id = await who.create_room(invite=(town.bot.user_id,), **more)
    while (await state(who, room_id, "m.room.member", town.bot.user_id) or {}).get("membership") != "join":
        await asyncio.sleep(0.05)
    return room_id


async def state(who: Person, room_id: str, type_: str, key: str = "") -> dict[str, Any] | None:
    return getattr(await who.client.room_get_state_event(room_id, type_, key), "content", None)


def linked(answer: str) -> str:
    found = LINK.search(answer)
    assert found is not None, answer
    return found[1].replace("%21", "!")


async def rooms_of(who: Person) -> tuple[list[str], list[str]]:
    """Return the rooms somebody is in, and those they are invited to."""
    answer = await who.client.sync(timeout=0, full_state=True)
    return list(answer.rooms.join), list(answer.rooms.invite)


def radio_says(body: str, number: int = 1, *, direct: bool = True) -> Message:
    return Message(
        native_id=NativeId(f"mt:a1b2c301:{number}"),
        origin=NODE if direct else LONG_FAST,
        sender=Sender(id=SenderId("!a1b2c301"), name="Base camp"),
        content=Text(body=body),
        received_ms=9_999_999_999_999,
        direct=direct,
    )


async def test_dm_opens_one_room_and_names_it_again(town: Town, box: Box, desk: FrontDesk, eve: Person) -> None:
    async with box.start() as heard:
        office = await chat_with_the_gateway(town, eve)
        answer = await ask(eve, office, "dm Base camp")
        room_id = linked(answer)
        assert "is new" in answer
        (route,) = desk.routes
        assert (route.ends, route.by, route.direct) == ((Address(HOME, room_id), NODE), eve.id, True)
        await eve.client.join(room_id)
        assert await state(eve, room_id, "m.room.name") == {"name": "Base camp (mesh)"}
        (told,) = await eve.heard(room_id)
        assert told["content"]["msgtype"] == "m.notice"
        assert "one radio, !a1b2c301" in told["content"]["body"]
        said = await eve.say(room_id, "are you there?")
        await heard.until(lambda: len(heard.messages) == 1)
        assert (heard.messages[0].origin, heard.messages[0].remote_id) == (Address(HOME, room_id), said)

    (box.folder / "made.json").unlink()
    async with box.start():
        answer = await ask(eve, office, "dm !a1b2c301")
        assert linked(answer) == room_id, "the route says which it is, should the file be lost"
        assert "is new" not in answer
    assert len(desk.routes) == 1


async def test_what_is_said_with_dm_goes_there_at_once_and_once(
    town: Town, box: Box, desk: FrontDesk, eve: Person
) -> None:
    async with box.start() as heard:
        office = await chat_with_the_gateway(town, eve)
        await ask(eve, office, "help")
        before = box.bridge.position
        await eve.client.join(linked(await ask(eve, office, 'dm "Base camp" water is low\nat the hut')))
        await heard.until(lambda: len(heard.messages) == 1)
    (message,) = heard.messages
    room_id = message.origin.conversation
    assert message.content == Text(body="water is low\nat the hut")
    assert message.sender == Sender(id=SenderId(eve.id), name="Eve")
    shown = [event for event in await eve.heard(room_id) if event["content"]["msgtype"] == "m.text"]
    assert [event["content"]["body"] for event in shown] == ["Eve: water is low\nat the hut"]
    assert message.remote_id == shown[0]["event_id"], "so what becomes of it is shown there"

    async with box.start(before) as heard:  # as after a crash before the message was stored
        await ask(eve, office, "dm Nobody")
    (again,) = heard.messages
    assert (again.id, again.remote_id) == (message.id, message.remote_id)
    assert len([e for e in await eve.heard(room_id) if e["content"]["msgtype"] == "m.text"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("dm", "Say to whom"),
        ("dm Nobody", "I know no channel or node 'Nobody'"),
        ("dm Nobody at all", "I know no node 'Nobody'"),
        ("dm LongFast hi", "is not one person"),
    ],
)
async def test_a_dm_to_nobody_is_declined(town: Town, box: Box, eve: Person, words: str, said: str) -> None:
    async with box.start():
        assert said in await ask(eve, await chat_with_the_gateway(town, eve), words)
    assert box.desk.routes == []


async def test_who_may_not_transmit_gets_no_direct_chat(town: Town, box: Box, desk: FrontDesk, eve: Person) -> None:
    async with box.start():
        office = await chat_with_the_gateway(town, eve)
        desk.levels[eve.id] = Level.READ
        assert await ask(eve, office, "dm Base camp") == "You may not write to radios here."
        assert await rooms_of(eve) == ([office], []), "and no room that leads nowhere"


async def test_a_radios_direct_message_opens_a_chat_and_the_next_goes_on_there(
    town: Town, box: Box, desk: FrontDesk, eve: Person
) -> None:
    to = Address(HOME, eve.id)
    async with box.start():
        first = await box.bridge.send(radio_says("hello operator"), to, key="k1.0")
        second = await box.bridge.send(radio_says("anybody?", 2), to, key="k2.0")
        (route,) = desk.routes
        room_id = route.ends[0].conversation
        assert (route.by, route.direct) == (eve.id, True)
        again = await box.bridge.send(radio_says("hello operator"), to, key="k1.0")
        assert first.remote_id == again.remote_id != second.remote_id
        assert await rooms_of(eve) == ([], [room_id])
        await eve.client.join(room_id)
    bodies = [e["content"]["body"] for e in await eve.heard(room_id) if e["content"]["msgtype"] == "m.text"]
    assert bodies == ["Base camp: hello operator", "Base camp: anybody?"]

    async with box.start():
        found = await box.bridge.recall(to, key="k2.0", since_ms=0)
        assert found == second
        assert await box.bridge.recall(to, key="k3.0", since_ms=0) is None
        await box.bridge.send(radio_says("back again", 3), to, key="k3.0")
    assert len(await eve.heard(room_id)) == 4


async def test_a_chat_that_was_left_is_opened_anew(town: Town, box: Box, desk: FrontDesk, eve: Person) -> None:
    to = Address(HOME, eve.id)
    async with box.start() as heard:
        await box.bridge.send(radio_says("hello"), to, key="k1.0")
        (old,) = (await rooms_of(eve))[1]
        await eve.client.join(old)
        await eve.client.room_leave(old)
        await heard.until(lambda: desk.routes == [] and old not in box.bridge._rooms.joined)
        await box.bridge.send(radio_says("hello?", 2), to, key="k2.0")
        (new,) = (await rooms_of(eve))[1]
    assert new != old


async def test_a_chat_that_was_being_made_when_all_broke_off_is_found_and_not_made_twice(
    town: Town, box: Box, desk: FrontDesk, eve: Person
) -> None:
    to = Address(HOME, eve.id)
    async with box.start():
        await box.bridge.send(radio_says("hello"), to, key="k1.0")
    desk.routes.clear()
    made = box.folder / "made.json"
    made.write_text(re.sub(r': "![^"]*"', ': ""', made.read_text()))
    async with box.start():
        await box.bridge.send(radio_says("hello?", 2), to, key="k2.0")
    assert len((await rooms_of(eve))[1]) == 1


async def test_who_may_not_answer_is_told_so_in_their_chat(town: Town, box: Box, desk: FrontDesk, eve: Person) -> None:
    desk.levels[eve.id] = Level.READ
    async with box.start():
        for number in (1, 2):
            await box.bridge.send(radio_says("hello", number), Address(HOME, eve.id), key=f"k{number}.0")
        (room_id,) = (await rooms_of(eve))[1]
        await eve.client.join(room_id)
    said = [event["content"]["body"] for event in await eve.heard(room_id)]
    assert said.count("What you say here goes nowhere: you may not") == 1
    assert said.count("Base camp: hello") == 2


class OneGhost:
    """Stands in for appservice mode: an account that is the node's ghost."""

    def __init__(self, server: str, who: Person) -> None:
        self.who = who
        self.client = Client(server, who.id)
        self.named: list[str] = []

    def node_of(self, user_id: str) -> str | None:
        return NODE.conversation if user_id == self.who.id else None

    def is_ghost(self, user_id: str) -> bool:
        return user_id == self.who.id

    async def acting(self, sender: Sender) -> Client | None:
        self.named.append(sender.name)
        return self.client if sender.id == NODE.conversation else None

    async def registered(self, user_id: str) -> Client:
        assert user_id == self.who.id
        return self.client


@pytest_asyncio.fixture
async def ghost(town: Town) -> AsyncIterator[OneGhost]:
    who = await person(town.server, "mesh_a1b2c301", displayname="Base camp (mesh)")
    made = OneGhost(town.server.url, who)
    made.client.token = who.account.access_token
    await made.client.connect()
    yield made
    await made.client.close()
    await who.client.close()


def haunted(box: Box, ghost: OneGhost) -> Any:
    """Let the running bridge have the ghost."""
    box.bridge._office.use(ghost)
    return box.bridge._office.directs


@pytest.mark.parametrize("version", ["11", "12"])
async def test_inviting_a_ghost_opens_a_direct_chat(
    box: Box, desk: FrontDesk, eve: Person, ghost: OneGhost, version: str
) -> None:
    async with box.start() as heard:
        directs = haunted(box, ghost)
        room_id = await eve.create_room(invite=(ghost.who.id,), is_direct=True, preset=None, room_version=version)
        for _ in range(2):  # the homeserver may say it twice
            await directs.ghost_invited(ghost.who.id, room_id, eve.id)
        (route,) = desk.routes
        assert (route.ends, route.by, route.direct) == ((Address(HOME, room_id), NODE), eve.id, True)
        await eve.say(room_id, "are you there?")
        await heard.until(lambda: len(heard.messages) == 1)
        assert heard.messages[0].origin == Address(HOME, room_id)
        found = await box.bridge.send(radio_says("yes"), Address(HOME, eve.id), key="k1.0")
        assert found.remote_id in [event["event_id"] for event in await eve.heard(room_id)], "its chat is known"
        await eve.client.room_leave(room_id)
        await heard.until(lambda: desk.routes == [])


async def test_a_ghost_declines_with_the_reason(
    town: Town, box: Box, desk: FrontDesk, eve: Person, ghost: OneGhost
) -> None:
    async with box.start():
        directs = haunted(box, ghost)
        crowd = await eve.create_room(invite=(ghost.who.id, town.ali.id))
        await town.ali.client.join(crowd)
        secret = await eve.create_room(invite=(ghost.who.id,))
        await eve.state(secret, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        forbidden = await eve.create_room(invite=(ghost.who.id,))
        for room_id, level, why in (
            (crowd, Level.TRANSMIT, "others are in this room"),
            (secret, Level.TRANSMIT, "can't read encrypted rooms"),
            (forbidden, Level.READ, "may not write to radios"),
        ):
            desk.levels[eve.id] = level
            await directs.ghost_invited(ghost.who.id, room_id, eve.id)
            left = await state(eve, room_id, "m.room.member", ghost.who.id)
            assert left is not None
            assert left["membership"] == "leave"
            assert why in left["reason"]
    assert desk.routes == []


async def test_a_ghost_opens_the_chat_for_its_radio(
    town: Town, box: Box, desk: FrontDesk, eve: Person, ghost: OneGhost
) -> None:
    async with box.start():
        haunted(box, ghost)
        await box.bridge.send(radio_says("hello"), Address(HOME, eve.id), key="k1.0")
        (room_id,) = (await rooms_of(eve))[1]
        await eve.client.join(room_id)
        assert await state(eve, room_id, "io.element.functional_members") == {"service_members": [town.bot.user_id]}
    assert (await state(eve, room_id, "m.room.member", ghost.who.id) or {})["membership"] == "join"


async def test_what_somebody_calls_a_node_renames_its_ghost_for_nobody(box: Box, eve: Person, ghost: OneGhost) -> None:
    async with box.start():
        haunted(box, ghost)
        await ask(eve, await chat_with_the_gateway(box.town, eve), 'dm "Base camp"')
    assert ghost.named == [""]


def made_for(eve: Person) -> dict[str, Any]:
    return {"org.crossband.made": short_hash("direct", eve.id, str(NODE))}


@pytest.mark.parametrize("is_forged", [False, True])
async def test_a_chat_whose_making_broke_off_is_found_if_the_ghost_made_it(
    town: Town, box: Box, eve: Person, ghost: OneGhost, is_forged: bool
) -> None:
    (box.folder / "made.json").write_text(json.dumps({"made": {f"direct {eve.id} {NODE}": ""}}))
    # Whoever knows how rooms are marked may make one, and ask everybody in.
    maker = eve.account.access_token if is_forged else ghost.client.token
    asked = (town.bot.user_id, ghost.who.id if is_forged else eve.id)
    async with box.start():
        haunted(box, ghost)
        wish = {"invite": asked, "is_direct": True, "creation_content": made_for(eve)}
        made = await town.server.request("POST", "/_matrix/client/v3/createRoom", wish, token=maker)
        room_id = made["room_id"]
        if is_forged:
            await ghost.who.client.join(room_id)
            while (await state(eve, room_id, "m.room.member", town.bot.user_id) or {})["membership"] != "join":
                await asyncio.sleep(0.05)
        await box.bridge.send(radio_says("hello"), Address(HOME, eve.id), key="k1.0")
        (route,) = box.desk.routes
    assert (route.ends[0].conversation == room_id) is not is_forged


async def test_a_ghost_leaves_with_us_when_a_chat_is_over(
    town: Town, box: Box, desk: FrontDesk, eve: Person, ghost: OneGhost
) -> None:
    async with box.start():
        directs = haunted(box, ghost)
        room_id = await eve.create_room(invite=(ghost.who.id,), is_direct=True)
        await directs.ghost_invited(ghost.who.id, room_id, eve.id)
        await eve.client.room_kick(room_id, town.bot.user_id)
        while (await state(eve, room_id, "m.room.member", ghost.who.id) or {})["membership"] != "leave":
            await asyncio.sleep(0.05)
    assert desk.routes == []


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
async def test_opening_a_chat_that_broke_off_goes_on_where_it_was(
    town: Town, box: Box, eve: Person, ghost: OneGhost, steps: int
) -> None:
    room_id = await eve.create_room(invite=(ghost.who.id,), is_direct=True, power_level_override={"state_default": 0})
    await ghost.who.client.join(room_id)
    if steps > 1:
        await ghost.who.client.room_invite(room_id, town.bot.user_id)
    if steps > 2:
        await box.desk.join(Address(HOME, room_id), NODE, by=SenderId(eve.id), direct=True)
    if steps > 3:
        path = f"/_matrix/client/v3/rooms/{room_id}/join"
        await town.server.request("POST", path, {}, token=town.bot.access_token)
    async with box.start():
        # The homeserver had no answer for the invitation, and brings it again.
        assert await haunted(box, ghost).ghost_invited(ghost.who.id, room_id, eve.id) is not None
        (route,) = box.desk.routes
        assert await state(eve, room_id, "io.element.functional_members") == {"service_members": [town.bot.user_id]}
        notices = [event for event in await eve.heard(room_id) if event["sender"] == town.bot.user_id]
    assert (route.ends, route.direct) == ((Address(HOME, room_id), NODE), True)
    assert (await state(eve, room_id, "m.room.member", town.bot.user_id) or {})["membership"] == "join"
    assert len(notices) == 1


async def test_a_second_ghost_declines_to_sit_unheard_in_anothers_chat(
    box: Box, desk: FrontDesk, eve: Person, ghost: OneGhost
) -> None:
    async with box.start():
        directs = haunted(box, ghost)
        room_id = await eve.create_room(invite=(ghost.who.id,), is_direct=True)
        other = Address(NODE.bridge, "!a1b2c302")
        await desk.join(Address(HOME, room_id), other, by=SenderId(eve.id), direct=True)
        assert await directs.ghost_invited(ghost.who.id, room_id, eve.id) is None
        left = await state(eve, room_id, "m.room.member", ghost.who.id)
    assert left is not None
    assert "another node" in left["reason"]


async def test_who_invites_ghosts_by_the_dozen_is_no_longer_answered(
    box: Box, desk: FrontDesk, eve: Person, ghost: OneGhost
) -> None:
    desk.levels[eve.id] = Level.READ
    async with box.start():
        directs = haunted(box, ghost)
        room_id = await eve.create_room(invite=(ghost.who.id,))
        for _ in range(BURST + 2):
            assert await directs.ghost_invited(ghost.who.id, room_id, eve.id) is None
    assert box.counts.count("matrix_direct_throttled") >= 1
    assert box.counts.count("matrix_direct_declined") <= BURST + 1
    assert ghost.named == [], "none was made for who may not write to it"


async def test_a_space_gathers_what_is_bridged_and_makes_rooms_for_channels_when_asked(
    town: Town, box: Box, desk: FrontDesk, eve: Person
) -> None:
    async with box.start():
        office = await chat_with_the_gateway(town, town.ali)
        bridged = await with_the_gateway(town, town.ali)
        await ask(town.ali, bridged, "!mesh bridge LongFast")
        await ask(town.ali, bridged, CONFIRM)
        await ask(town.ali, office, "dm Base camp")
        answer = await ask(town.ali, office, "space")
        space = linked(answer)
        assert "has 1 room:" in answer
        await town.ali.client.join(space)
        assert (await state(town.ali, space, "m.room.create") or {})["type"] == "m.space"
        assert await state(town.ali, space, "m.space.child", bridged) == {"via": ["gw.test"]}

        assert "anyone in range can read it" in await ask(town.ali, office, "space LongFast, Hiking")
        assert "has 2 rooms:" in await ask(town.ali, office, "confirm")
        made = next(route for route in desk.routes if HIKING in route.ends).ends[0].conversation
        await town.ali.client.join(made)
        assert await state(town.ali, space, "m.space.child", made) == {"via": ["gw.test"]}
        assert (await state(town.ali, made, "m.space.parent", space) or {})["canonical"] is True
        assert "by radio in clear" in (await town.ali.heard(made))[0]["content"]["body"]
        number = len(await town.ali.events(space))
        assert linked(await ask(town.ali, office, "space Hiking")) == space
        assert len(await town.ali.events(space)) == number, "nothing is said again"

        await ask(town.ali, bridged, "!mesh unbridge")
        assert "has 1 room:" in await ask(town.ali, office, "space")
        assert await state(town.ali, space, "m.space.child", bridged) == {}
    assert "You may not make a Space" not in answer


async def test_a_space_that_is_gone_is_made_anew_and_not_for_anyone(
    town: Town, box: Box, desk: FrontDesk, eve: Person
) -> None:
    async with box.start() as heard:
        office = await chat_with_the_gateway(town, town.ali)
        first = linked(await ask(town.ali, office, "space"))
        await town.ali.client.join(first)
        path = f"/_matrix/client/v3/rooms/{first}/leave"
        await town.server.request("POST", path, {}, token=town.bot.access_token)
        await heard.until(lambda: first not in box.bridge._rooms.joined)
        assert linked(await ask(town.ali, office, "space")) != first
        assert "may not make a Space" in await ask(eve, await chat_with_the_gateway(town, eve), "space")
