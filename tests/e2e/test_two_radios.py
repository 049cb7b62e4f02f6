# SPDX-License-Identifier: GPL-3.0-or-later
"""The real command with two radios on one mesh, one of which is pulled out, and then both in each other's ports."""

from __future__ import annotations

from bridges.sim.synapse import Synapse
from tests.e2e.world import LISTENER, NEAR, World, build_world

_TABLES = {"radio": 'node = "!a1b2c300"'}
_MORE = """
[bridges.ridge]
kind = "meshtastic"
connection = "serial:@PORT@"
node = "!a1b2c301"

[[routes]]
name = "ridge"
join = ["home/@ROOM@", "ridge/LongFast"]

[[routes]]
name = "both"
join = ["radio/LongFast", "ridge/LongFast"]
"""


def _said(world: World, text: str) -> int:
    return sum(heard.text == text for heard in world.radio.heard if heard.node == LISTENER)


async def _state(world: World, name: str) -> tuple[str, str]:
    status = await world.box.status()
    return next((one["state"], one["reason"]) for one in status["bridges"] if one["name"] == name)


async def test_two_radios_on_one_mesh_say_and_hear_everything_once_and_keep_to_their_own_boards(
    synapse: Synapse,
) -> None:
    async with build_world(synapse, more=_MORE, tables=_TABLES, also="RDGE") as world:
        await world.person.say("once, please")
        await world.radio.wait_text("Baker: once, please", node=LISTENER)
        await world.radio.say(NEAR, "heard by both")
        await world.seen("heard by both")
        await world.settled()
        assert _said(world, "Baker: once, please") == 1
        assert _said(world, "heard by both") == 1
        assert world.all_seen().count("heard by both") == 1

        await world.radio.unplug()
        await world.person.say("by one alone")
        heard = await world.radio.wait_text("Baker: by one alone", node=LISTENER)
        assert heard.sender == world.radio.nodes["Ridge relay"]
        await world.radio.plug()
        await world.box.wait_until(world.box.is_up)
        await world.settled()
        assert _said(world, "Baker: by one alone") == 1

        await world.radio.call("swap", one="pty", other="RDGE")

        async def are_refused() -> bool:
            states = [await _state(world, name) for name in ("radio", "ridge")]
            return all(state == "down" and "wanted !a1b2c30" in reason for state, reason in states)

        await world.box.wait_until(are_refused)
        await world.radio.call("swap", one="pty", other="RDGE")
        await world.box.wait_until(world.box.is_up)
        await world.person.say("back in place")
        await world.radio.wait_text("Baker: back in place", node=LISTENER)
