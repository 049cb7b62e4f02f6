# SPDX-License-Identifier: GPL-3.0-or-later
"""A homeserver that took a message, never answered, and a day later remembers no transaction id: shown once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bridges.sim.loopback import LOOPBACK
from tests.contract.harness_matrix import Cable
from tests.e2e.world import NEAR, World
from tests.services import forget_transactions


async def test_what_a_homeserver_took_unanswered_and_forgot_the_id_of_is_shown_once(own_world: World) -> None:
    world = own_world
    await world.box.stop()
    async with Cable(world.synapse.port) as cable:
        world.box.wiring = replace(world.box.wiring, homeserver=f"http://{LOOPBACK}:{cable.port}")
        world.box.write_config()
        await world.box.start()

        cable.answers.clear()
        await world.radio.say(NEAR, "air 0")
        await world.seen("air 0")
        await world.box.kill9()
        await world.synapse.stop()
        assert forget_transactions(world.synapse) > 0
        await world.synapse.start()
        cable.answers.set()
        await world.box.start()
        await world.radio.say(NEAR, "air 1")

        await world.seen("air 1", timeout_s=60)
        await asyncio.sleep(1.0)  # a second copy would show now
        assert world.all_seen() == ["air 0", "air 1"]
        await world.box.stop()
