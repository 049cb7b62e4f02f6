# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job in appservice mode, by the real command: people on radios are people in the room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.appservice import Registered, registered
from tests.e2e.world import NEAR, WITHIN_S, World, build_world


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Registered]:
    async with registered(tmp_path / "home") as made:
        yield made


async def become_an_appservice(world: World, home: Registered) -> None:
    """Give the box the registration instead of a token, and a user that the registration names."""
    bot = f"@crossband-e2e:{home.server.server_name}"
    config = world.box.config.read_text()
    token_line = next(line for line in config.splitlines() if line.startswith("access_token_file"))
    ours = f'mode = "appservice"\nregistration_file = "{home.file}"\nlisten = "127.0.0.1:{home.port}"'
    world.box.config.write_text(config.replace(token_line, ours).replace(world.box.wiring.user_id, bot))
    path = f"/_matrix/client/v3/rooms/{world.person.room_id}/invite"
    await home.server.request("POST", path, {"user_id": bot}, token=world.town.visitor_account.access_token)


async def test_people_on_radios_are_people_in_the_room(home: Registered) -> None:
    async with build_world(home.server) as world:
        await world.box.stop()
        await become_an_appservice(world, home)
        await world.box.start()
        await world.radio.say(NEAR, "Stalls are up")
        seen = await world.watcher.seen.wait_for(lambda seen: seen.text == "Stalls are up", timeout_s=WITHIN_S)
        await world.person.say("Bread at nine")
        await world.heard("Baker: Bread at nine")
        answer = await world.box.ask("GET", "/api/v1/status")

    assert seen.sender.startswith("@mesh_")
    assert b"appservice" in answer.body
