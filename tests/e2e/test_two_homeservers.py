# SPDX-License-Identifier: GPL-3.0-or-later
"""The real command with accounts on two homeservers, one of which dies and comes back."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path

from bridges.sim.synapse import Account, Synapse
from tests.e2e.world import NEAR, WITHIN_S, build_world
from tests.services import Person, person


async def test_two_homeservers_are_two_bridges_and_what_one_misses_it_gets_when_it_is_back(
    synapse: Synapse, own_synapse: Synapse, tmp_path: Path
) -> None:
    bot = await own_synapse.register_user(f"crossband-{secrets.token_hex(3)}")
    bea = await person(own_synapse, "bea", displayname="Bea")
    room_id = await bea.create_room(invite=(bot.user_id,))
    async with build_world(synapse, more=_other_homeserver(own_synapse, bot, room_id, tmp_path)) as world:
        await bea.say(room_id, "from the other side")
        await world.heard("Bea: from the other side")
        await world.radio.say(NEAR, "to both")
        await world.seen("to both")
        await _seen(bea, room_id, f"{NEAR}: to both")

        await own_synapse.kill()
        await world.radio.say(NEAR, "while one is down")
        await world.seen("while one is down")
        await own_synapse.start()
        await _seen(bea, room_id, f"{NEAR}: while one is down")
        said = [event["content"]["body"] for event in await bea.heard(room_id) if event["sender"] == bot.user_id]
    await bea.client.close()
    texts = [body for body in said if body.startswith(NEAR)]
    assert texts == [f"{NEAR}: to both", f"{NEAR}: while one is down"]


async def _seen(who: Person, room_id: str, body: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while body not in [event["content"]["body"] for event in await who.heard(room_id)]:
            await asyncio.sleep(0.1)


def _other_homeserver(server: Synapse, bot: Account, room_id: str, folder: Path) -> str:
    """By access token and device id, as homeservers without a login of their own (MAS) give them out."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(bot.access_token)
    return f"""
[bridges.away]
kind = "matrix"
homeserver = {json.dumps(server.url)}
user_id = {json.dumps(bot.user_id)}
device_id = {json.dumps(bot.device_id)}
access_token_file = {json.dumps(str(token))}

[[routes]]
name = "away"
join = [{json.dumps(f"away/{room_id}")}, "radio/LongFast"]
"""
