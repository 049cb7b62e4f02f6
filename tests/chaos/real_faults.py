# SPDX-License-Identifier: GPL-3.0-or-later
"""What the storm does to the real leg: one function a fault. Each returns when its fault is over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bridges.sim.control import SimProcess
from bridges.sim.synapse import Synapse
from tests.chaos import faults as common
from tests.chaos.air_account import AirAccount
from tests.chaos.faults import Fault, Scene
from tests.chaos.storm import Habit, Strike

DIRECT_NODE = "Market square"
"""Whom direct messages go to; the storm takes it out of range at times."""
WHOLE_FRAME = 1024
CALM_LINE = {"lose_frame": 0.0, "lose_byte": 0.0, "delay_s": 0.0, "bytes_per_s": 0.0}


@dataclass(slots=True, kw_only=True)
class RealScene(Scene):
    """The fast leg's scene, and a homeserver and a radio."""

    synapse: Synapse
    mesh: SimProcess
    account: AirAccount
    homeserver: asyncio.Lock = field(default_factory=asyncio.Lock)
    radio: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def order(self, do: str, **arguments: Any) -> Any:
        return await self.mesh.call(do, **arguments)


@asynccontextmanager
async def _bad_line(scene: RealScene) -> AsyncIterator[None]:
    """What the radio hands over meanwhile may not get to the gateway."""
    async with scene.radio:
        with scene.account.line_is_bad():
            yield


async def synapse_kill(scene: RealScene, strike: Strike, _chance: random.Random) -> None:
    """kill -9 of the homeserver, and away for a while."""
    async with scene.homeserver:
        await scene.synapse.kill()
        await asyncio.sleep(strike.for_s)
        await scene.synapse.start()


async def synapse_hang(scene: RealScene, strike: Strike, _chance: random.Random) -> None:
    """The homeserver accepts connections and answers nothing."""
    async with scene.homeserver:
        scene.synapse.freeze()
        try:
            await asyncio.sleep(strike.for_s)
        finally:
            scene.synapse.thaw()


async def radio_unplug(scene: RealScene, strike: Strike, _chance: random.Random) -> None:
    """The radio is pulled out, and put back."""
    async with _bad_line(scene):
        await scene.order("unplug")
        await asyncio.sleep(strike.for_s)
        await scene.order("plug")


async def radio_reboot(scene: RealScene, _strike: Strike, _chance: random.Random) -> None:
    """The radio restarts: its queues and its memory of ids are gone."""
    async with _bad_line(scene):
        scene.account.rebooted(await scene.order("reboot"))
        await asyncio.sleep(0.5)


async def line_torn(scene: RealScene, strike: Strike, chance: random.Random) -> None:
    """A frame ends in the middle, and the port goes with it."""
    async with _bad_line(scene):
        await scene.order("cut", keep=chance.randint(1, 12), unplug=True)
        await asyncio.sleep(0.2 + strike.for_s)
        await scene.order("cut", keep=WHOLE_FRAME)  # if no frame has come, the next one needn't pay for it
        await asyncio.sleep(0.1)
        await scene.order("unplug")
        await scene.order("plug")


async def line_lossy(scene: RealScene, strike: Strike, chance: random.Random) -> None:
    """Frames and bytes get lost on the serial line. Not changed: it has no checksum, and words would be others."""
    worse = {
        "lose_frame": chance.uniform(0, 0.1),
        "lose_byte": chance.uniform(0, 0.002),
    }
    async with _bad_line(scene):
        await scene.order("faults", **worse)
        await asyncio.sleep(strike.for_s)
        await scene.order("faults", **CALM_LINE)


async def line_noise(scene: RealScene, strike: Strike, chance: random.Random) -> None:
    """Debug text and garbage between frames."""
    async with _bad_line(scene):
        for _ in range(5):
            await scene.order("noise", hex=chance.randbytes(chance.randint(1, 300)).hex())
            await asyncio.sleep(strike.for_s / 5)


async def radio_line_slow(scene: RealScene, strike: Strike, chance: random.Random) -> None:
    """The serial line is slow: nothing is lost but time."""
    async with scene.radio:
        await scene.order("faults", bytes_per_s=chance.uniform(2_000, 20_000), delay_s=chance.uniform(0, 0.1))
        await asyncio.sleep(strike.for_s)
        await scene.order("faults", **CALM_LINE)


async def node_away(scene: RealScene, strike: Strike, _chance: random.Random) -> None:
    """Who direct messages go to is out of range."""
    with scene.account.node_is_away():
        await scene.order("isolate", node=DIRECT_NODE)
        await asyncio.sleep(strike.for_s)
        await scene.order("rejoin", node=DIRECT_NODE)


_SHARED = {
    "gateway_kill": Habit(every_s=30, shortest_s=0.0, longest_s=1.0),
    "gateway_hang": Habit(every_s=80, shortest_s=0.2, longest_s=1.5),
    "valkey_kill": Habit(every_s=30),
    "valkey_hang": Habit(every_s=80, shortest_s=0.5, longest_s=4.0),
    "clock_small": Habit(every_s=40),
    "clock_large": Habit(every_s=60),
    "clock_while_down": Habit(every_s=90, shortest_s=0.0, longest_s=0.5),
    "aof_zeros": Habit(every_s=90),
    "aof_lost_tail": Habit(every_s=60),
    "aof_emptied": Habit(every_s=90),
}
REAL_FAULTS: dict[str, tuple[Fault, Habit]] = {
    **{name: (common.FAULTS[name][0], habit) for name, habit in _SHARED.items()},
    "synapse_kill": (synapse_kill, Habit(every_s=60, shortest_s=0.0, longest_s=4.0)),
    "synapse_hang": (synapse_hang, Habit(every_s=80, shortest_s=0.5, longest_s=5.0)),
    "radio_unplug": (radio_unplug, Habit(every_s=35, shortest_s=0.1, longest_s=2.0)),
    "radio_reboot": (radio_reboot, Habit(every_s=45)),
    "line_torn": (line_torn, Habit(every_s=60, shortest_s=0.1, longest_s=1.0)),
    "line_lossy": (line_lossy, Habit(every_s=50, shortest_s=1.0, longest_s=4.0)),
    "line_noise": (line_noise, Habit(every_s=60, shortest_s=0.2, longest_s=1.0)),
    "line_slow": (radio_line_slow, Habit(every_s=60, shortest_s=1.0, longest_s=4.0)),
    "node_away": (node_away, Habit(every_s=60, shortest_s=2.0, longest_s=8.0)),
}
