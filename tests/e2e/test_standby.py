# SPDX-License-Identifier: GPL-3.0-or-later
"""A hot standby with a real homeserver and a radio: kill -9 of the gateway that serves them, and the other goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bridges.sim.box import GatewayBox
from tests.e2e.world import NEAR, World
from tests.queue_servers import Server, running


@asynccontextmanager
async def two_boxes(world: World) -> AsyncIterator[dict[str, GatewayBox]]:
    """The world's box and one more of the same configuration, on one queue of their own."""
    await world.box.stop()
    with TemporaryDirectory(prefix="cb-") as name, running(server := Server(Path(name))):
        lake = GatewayBox(Path(name) / "box", replace(world.box.wiring, name="lake"))
        boxes = {"hilltop": world.box, "lake": lake}
        try:
            for box in boxes.values():
                config = box.write_config()
                config.write_text(config.read_text().replace('"embedded"', f'"{server.url}"'))
                await box.start(until="ready")
            await world.box.wait_until(lambda: standing(boxes))
            yield boxes
        finally:
            await lake.kill9()


async def state(box: GatewayBox, name: str) -> str:
    try:
        bridges = (await box.ask("GET", "/api/v1/bridges")).json()
    except OSError:
        return ""
    return next(str(bridge["state"]) for bridge in bridges if bridge["name"] == name)


async def standing(boxes: dict[str, GatewayBox]) -> bool:
    """Whether each bridge is up on one box, and the other stands by."""
    for bridge in ("home", "radio"):
        if sorted([await state(box, bridge) for box in boxes.values()]) != ["standby", "up"]:
            return False
    return True


async def holder(boxes: dict[str, GatewayBox], name: str) -> str:
    (found,) = [box for box in boxes if await state(boxes[box], name) == "up"]
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_is_said_while_a_standby_takes_over_arrives_once_and_in_order(world: World) -> None:
    async with two_boxes(world) as boxes:
        said = 0
        for _ in range(2):
            for _ in range(4):
                await world.person.say(f"room {said}")
                await world.radio.say(NEAR, f"air {said}")
                said += 1
            await world.seen(f"air {said - 1}", timeout_s=60)
            dead = await holder(boxes, "home")
            await boxes[dead].kill9()
            await world.person.say(f"room {said}")
            other = next(box for box in boxes if box != dead)
            await boxes[other].wait_until(lambda other=other: both_up(boxes[other]), timeout_s=60)
            await world.radio.say(NEAR, f"air {said}")
            said += 1
            await world.heard(f"Baker: room {said - 1}", timeout_s=60)
            await world.seen(f"air {said - 1}", timeout_s=60)
            await boxes[dead].start(until="ready")
            await boxes[dead].wait_until(lambda: standing(boxes), timeout_s=60)

        await asyncio.sleep(1.0)  # a second copy would show now
        assert world.all_seen() == [f"air {n}" for n in range(said)]
        assert world.all_heard() == [f"Baker: room {n}" for n in range(said)]


async def both_up(box: GatewayBox) -> bool:
    return [await state(box, name) for name in ("home", "radio")] == ["up", "up"]
