# SPDX-License-Identifier: GPL-3.0-or-later
"""The real command between a radio and an encrypted room, whose people have Element's crypto."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from bridges.sim.synapse import Account, Synapse
from tests.e2e.world import NEAR, build_world
from tests.peers.js_peer import js_peer


async def test_an_encrypted_conversation_goes_on_where_the_gateway_was_killed(synapse: Synapse, tmp_path: Path) -> None:
    bot, person = [await synapse.register_user(f"{name}-{secrets.token_hex(3)}") for name in ("crossband", "ali")]
    async with js_peer(synapse.url, person) as ali:
        room_id = await ali.create_room(invite=(bot.user_id,))
        async with build_world(synapse, more=_second_account(synapse, bot, room_id, tmp_path)) as world:
            name = person.user_id[1:].partition(":")[0]
            await ali.say(room_id, "from Ali")
            await world.heard(f"{name}: from Ali")
            await world.radio.say(NEAR, "from afar")
            first = await ali.wait_for_body("from afar")

            await world.box.kill9()
            await ali.say(room_id, "while away")
            await world.box.start()
            await world.heard(f"{name}: while away")
            await world.radio.say(NEAR, "and back")
            second = await ali.wait_for_body("and back")

            facts = {bridge["name"]: bridge["describe"] for bridge in (await world.box.status())["bridges"]}
            log = world.box.log_tail(1_000_000)

    assert (first.shield, second.shield) == ("none", "none")
    assert f"1 room, device {bot.device_id}, cross-signed" in facts["private"]["encrypted"]
    assert sum(sight.body.endswith(("from afar", "and back")) for sight in ali.seen.values()) == 2
    assert not [said for said in ("from Ali", "from afar", "while away", "and back") if said in log]


def _second_account(synapse: Synapse, bot: Account, room_id: str, folder: Path) -> str:
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(bot.access_token)
    return f"""
[bridges.private]
kind = "matrix"
homeserver = {json.dumps(synapse.url)}
user_id = {json.dumps(bot.user_id)}
access_token_file = {json.dumps(str(token))}
allow_encrypted = [{json.dumps(room_id)}]

[[routes]]
name = "private"
join = [{json.dumps(f"private/{room_id}")}, "radio/LongFast"]
"""
