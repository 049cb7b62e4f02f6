# SPDX-License-Identifier: GPL-3.0-or-later
"""The real command between a radio and an encrypted room, whose people have Element's crypto."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from bridges.sim.synapse import Account, Synapse
from tests.e2e.world import NEAR, build_world
from tests.peers.js_peer import JsPeer, Sight, js_peer


async def test_an_encrypted_conversation_goes_on_where_the_gateway_was_killed(synapse: Synapse, tmp_path: Path) -> None:
    bot, person = [await synapse.register_user(f"{name}-{secrets.token_hex(3)}") for name in ("crossband", "ali")]
    async with js_peer(synapse.url, person) as ali:
        room_id = await ali.create_room(invite=(bot.user_id,))
        more = _second_account(synapse, bot, json.dumps([room_id]), tmp_path) + _route(room_id)
        async with build_world(synapse, more=more) as world:
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


async def test_people_agree_to_bridge_their_encrypted_room_and_that_holds_over_a_kill(
    synapse: Synapse, tmp_path: Path
) -> None:
    bot, person = [await synapse.register_user(f"{name}-{secrets.token_hex(3)}") for name in ("crossband", "ali")]
    async with js_peer(synapse.url, person) as ali:
        room_id = await ali.create_room(invite=(bot.user_id,))
        more = f'"{person.user_id}" = "commands"\n' + _second_account(synapse, bot, '"ask"', tmp_path)
        async with build_world(synapse, more=more) as world:
            await ali.wait_for(lambda sight: (sight.state_key, sight.type) == (bot.user_id, "m.room.member"))
            await ali.wait_for(lambda sight: sight.content.get("membership") == "join" and sight.sender == bot.user_id)
            await ali.say(room_id, "between us")
            answers = [await _ask(ali, room_id, words) for words in ("bridge LongFast", "confirm", "confirm")]
            await world.box.kill9()
            await ali.say(room_id, "for everybody")
            await world.box.start()
            await world.heard(f"{person.user_id[1:].partition(':')[0]}: for everybody")
            await world.radio.say(NEAR, "from afar")
            seen = await ali.wait_for_body("from afar")
            said = world.all_heard()
            log = world.box.log_tail(1_000_000)

    assert "You are asked twice" in answers[0].body
    assert answers[2].body.startswith("Bridged to radio/LongFast")
    assert {answer.shield for answer in (*answers, seen)} == {"none"}
    assert not [text for text in said if "between us" in text]
    assert not [words for words in ("between us", "for everybody", "bridge LongFast", bot.access_token) if words in log]


async def _ask(ali: JsPeer, room_id: str, words: str) -> Sight:
    asked = await ali.say(room_id, f"!mesh {words}")

    def answers(sight: Sight) -> bool:
        relation = sight.wire_content.get("m.relates_to", {})
        return relation.get("m.in_reply_to") == {"event_id": asked} and bool(sight.body) and sight.shield == "none"

    return await ali.wait_for(answers)


def _second_account(synapse: Synapse, bot: Account, allowed: str, folder: Path) -> str:
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(bot.access_token)
    return f"""
[bridges.private]
kind = "matrix"
homeserver = {json.dumps(synapse.url)}
user_id = {json.dumps(bot.user_id)}
access_token_file = {json.dumps(str(token))}
allow_encrypted = {allowed}
"""


def _route(room_id: str) -> str:
    return f"""
[[routes]]
name = "private"
join = [{json.dumps(f"private/{room_id}")}, "radio/LongFast"]
"""
