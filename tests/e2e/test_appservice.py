# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job in appservice mode, by the real command: people on radios are people in the room, and in private."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from bridges.sim.person import Person, Seen
from tests.appservice import Registered, registered
from tests.e2e.triangle import build_triangle, matrix_room
from tests.e2e.world import LISTENER, NEAR, WITHIN_S, World, build_world

_NONCE = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Registered]:
    async with registered(tmp_path_factory.mktemp("home")) as made:
        yield made


@asynccontextmanager
async def box_world(
    home: Registered, *, name: str = "crossband-e2e", listen: bool = True, direct: bool = False
) -> AsyncIterator[World]:
    """A world whose box has the registration instead of a token; `direct`: nodes' direct messages go to the baker."""
    async with build_world(home.server) as world:
        await world.box.stop()
        bot = f"@{name}:{home.server.server_name}"
        config = world.box.config.read_text()
        token_line = next(line for line in config.splitlines() if line.startswith("access_token_file"))
        ours = f'mode = "appservice"\nregistration_file = "{home.file}"'
        ours += f'\nlisten = "127.0.0.1:{home.port}"' if listen else ""
        config = config.replace(token_line, ours).replace(world.box.wiring.user_id, bot)
        if direct:
            town, baker = json.dumps(f"home/{world.town.alias}"), json.dumps(f"home/{world.person.user_id}")
            config = config.replace(f"direct = {town}", f"direct = {baker}")
        world.box.config.write_text(config)
        path = f"/_matrix/client/v3/rooms/{world.person.room_id}/invite"
        await home.server.request("POST", path, {"user_id": bot}, token=world.town.visitor_account.access_token)
        await world.box.start()
        yield world


def ghost_of(world: World, node: str = NEAR) -> str:
    return f"@mesh_{world.radio.nodes[node]:08x}:{world.synapse.server_name}"


async def seen_from_ghost(world: World, text: str, room_id: str = "") -> Seen:
    who = world.person if room_id else world.watcher
    return await who.seen.wait_for(
        lambda seen: seen.text == text and seen.sender == ghost_of(world) and room_id in ("", seen.room_id),
        timeout_s=WITHIN_S,
    )


async def awake(world: World) -> None:
    """Wait until the homeserver pushes as things happen: for a moment after it caught up it keeps what comes."""
    for _ in range(2):
        before = await hints(world)
        async with asyncio.timeout(WITHIN_S):
            while await hints(world) == before:
                await world.person.say("Is anybody there?")
                await asyncio.sleep(0.2)


async def hints(world: World) -> int:
    (home,) = (one for one in (await world.box.ask("GET", "/api/v1/bridges")).json() if one["name"] == "home")
    return int(home["counters"].get("matrix_transaction_hint", 0))


async def state(who: Person, room_id: str, kind: str, key: str = "") -> dict[str, Any]:
    return dict(await who.call("GET", f"rooms/{quote(room_id)}/state/{kind}/{quote(key)}"))


async def is_acknowledged(who: Person, room_id: str, event_id: str) -> None:
    """Wait until there is a ✅, and nothing else, on what was said."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            page = await who.call("GET", f"rooms/{quote(room_id)}/messages?dir=b&limit=50")
            relations = [e["content"].get("m.relates_to", {}) for e in page["chunk"] if e["type"] == "m.reaction"]
            if [relation["key"] for relation in relations if relation.get("event_id") == event_id] == ["✅"]:
                return
            await asyncio.sleep(0.1)


async def invitation(who: Person) -> tuple[str, str]:
    """Wait to be invited; return where, and by whom."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            # Synapse gives the same answer to the same question for two minutes; the timeout is part of it.
            answer = await who.call("GET", f"sync?timeout={next(_NONCE)}")
            for room_id, room in answer.get("rooms", {}).get("invite", {}).items():
                events = room["invite_state"]["events"]
                return room_id, next(e["sender"] for e in events if e.get("state_key") == who.user_id)
            await asyncio.sleep(0.1)


async def test_people_on_radios_are_people_in_the_room(home: Registered) -> None:
    async with box_world(home) as world:
        await world.radio.say(NEAR, "Stalls are up")
        await seen_from_ghost(world, "Stalls are up")
        await world.person.say("Bread at nine")
        await world.heard("Baker: Bread at nine")
        answer = await world.box.ask("GET", "/api/v1/status")
    assert b"appservice" in answer.body


@pytest.mark.parametrize("version", ["11", "12"])
async def test_whoever_invites_a_nodes_ghost_talks_with_that_node_alone(home: Registered, version: str) -> None:
    async with box_world(home) as world:
        await awake(world)
        ghost, bot = ghost_of(world), f"@crossband-e2e:{home.server.server_name}"
        wish = {"invite": [ghost], "is_direct": True, "preset": "trusted_private_chat", "room_version": version}
        room_id = str((await world.person.call("POST", "createRoom", wish))["room_id"])
        said = await world.person.say("Only you", room_id=room_id)  # before anybody came
        heard = await world.heard("Baker: Only you", node=NEAR)
        await is_acknowledged(world.person, room_id, said)
        await world.radio.say(NEAR, "And only you", to=world.radio.gateway, reply_to=heard.id)
        answer = await seen_from_ghost(world, "And only you", room_id)
        service = await state(world.person, room_id, "io.element.functional_members")
        members = (await world.person.call("GET", f"rooms/{quote(room_id)}/joined_members"))["joined"]

        await world.radio.say(NEAR, "For all")
        await seen_from_ghost(world, "For all")
        overheard = [seen.text for seen in world.watcher.seen]

    assert heard.direct
    assert answer.reply_to == said
    assert service == {"service_members": [bot]}
    assert set(members) == {world.person.user_id, ghost, bot}
    assert "Baker: Only you" not in world.all_heard(node=LISTENER)
    assert "And only you" not in overheard


async def test_what_a_node_says_to_the_gateway_opens_a_chat_with_its_ghost(home: Registered) -> None:
    async with box_world(home, direct=True) as world:
        await world.radio.say(NEAR, "Operator, are you there?", to=world.radio.gateway)
        room_id, host = await invitation(world.person)
        await world.person.call("POST", f"join/{quote(room_id)}", {})
        await seen_from_ghost(world, "Operator, are you there?", room_id)
        said = await world.person.say("I am", room_id=room_id)
        heard = await world.heard("Baker: I am", node=NEAR)
        await is_acknowledged(world.person, room_id, said)
        await world.radio.say(NEAR, "Good", to=world.radio.gateway)
        await seen_from_ghost(world, "Good", room_id)

    assert host == ghost_of(world)
    assert heard.direct
    assert "Good" not in [seen.text for seen in world.watcher.seen]


async def test_two_boxes_with_one_registration_share_ghosts_and_carry_their_own_rooms_alone(home: Registered) -> None:
    async with (
        box_world(home, name="crossband-hill") as hill,
        box_world(home, name="crossband-valley", listen=False) as valley,
    ):
        assert ghost_of(hill) == ghost_of(valley)
        await hill.radio.say(NEAR, "From the hill")
        await valley.radio.say(NEAR, "From the valley")
        await seen_from_ghost(hill, "From the hill")
        await seen_from_ghost(valley, "From the valley")
        await hill.person.say("Hill bread")
        await valley.person.say("Valley bread")
        await hill.heard("Baker: Hill bread")
        await valley.heard("Baker: Valley bread")
        heard = hill.all_heard(), valley.all_heard()
        seen = [[one.text for one in world.watcher.seen if one.text.startswith("From")] for world in (hill, valley)]

    assert heard == (["Baker: Hill bread"], ["Baker: Valley bread"])
    assert seen == [["From the hill"], ["From the valley"]]


async def test_somebody_at_the_page_of_a_box_without_matrix_is_a_person_in_the_room(home: Registered) -> None:
    server = home.server.server_name
    login = f'mode = "appservice"\nregistration_file = "{home.file}"\nlisten = "127.0.0.1:{home.port}"'
    async with (
        matrix_room(home.server, bot=f"@crossband-harbour:{server}", login=login) as matrix,
        build_triangle(matrix) as triangle,
        triangle.valley.person("Bea") as bea,
    ):
        await bea.say("Who has bread?")
        asked = await matrix.seen("Who has bread?")
        await matrix.baker.say("At nine", asked.event_id)
        await bea.wait("At nine")
        await triangle.heard("Baker: At nine")
        await triangle.radio.say(NEAR, "Stalls are up")
        node = await matrix.seen("Stalls are up")
        await bea.wait("Stalls are up")
        await bea.say("Good")
        good = await matrix.seen("Good")
        profile = await matrix.watcher.call("GET", f"profile/{quote(asked.sender)}")
        members = await matrix.watcher.call("GET", f"rooms/{quote(asked.room_id)}/joined_members")

    assert asked.sender == good.sender == f"@lan__bea:{server}"
    assert asked.name == ""  # an account's own, not the message's
    assert profile["displayname"] == "Bea (LAN)"
    assert node.sender == f"@mesh_{triangle.radio.nodes[NEAR]:08x}:{server}"
    assert {asked.sender, node.sender} < set(members["joined"])
