# SPDX-License-Identifier: GPL-3.0-or-later
"""What the storm does to the fast leg: one function a fault. Each returns when its fault is over."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.chaos.damage import QueueFiles
from tests.chaos.disk import SmallDisk
from tests.chaos.networks import FarNetwork
from tests.chaos.storm import Habit, Strike
from tests.chaos.victim import Victim

DAY_MS = 86_400_000


@dataclass(slots=True, kw_only=True)
class Scene:
    """What faults work on."""

    victim: Victim
    files: QueueFiles
    networks: tuple[FarNetwork, ...]
    disk: SmallDisk | None
    say: Callable[[str], None]
    """Write down what was done."""
    clock_ms: int = 0
    storage: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One fault at a time in the queue's server and its files."""

    def set_clock(self, by_ms: int) -> None:
        self.clock_ms += by_ms
        self.victim.set_clock(self.clock_ms)
        self.say(f"clock set by {by_ms / 1000:+.1f} s")


Fault = Callable[[Scene, Strike, random.Random], Awaitable[None]]


async def gateway_kill(scene: Scene, strike: Strike, _chance: random.Random) -> None:
    """kill -9, and down for a while."""
    async with scene.storage, scene.victim.down():
        await asyncio.sleep(strike.for_s)


async def gateway_hang(scene: Scene, strike: Strike, _chance: random.Random) -> None:
    """It gets no processor time for a while."""
    async with scene.storage, scene.victim.frozen():
        await asyncio.sleep(strike.for_s)


async def valkey_kill(scene: Scene, _strike: Strike, _chance: random.Random) -> None:
    """kill -9 of the queue's server; the gateway starts it again."""
    async with scene.storage:
        _kill(scene.victim.server_pid())


async def valkey_hang(scene: Scene, strike: Strike, _chance: random.Random) -> None:
    """The queue's server answers nothing for a while."""
    async with scene.storage:
        pid = scene.victim.server_pid()
        if pid is None:
            return
        try:
            _send(pid, signal.SIGSTOP)
            await asyncio.sleep(strike.for_s)
        finally:
            _send(pid, signal.SIGCONT)


async def line_cut(scene: Scene, strike: Strike, chance: random.Random) -> None:
    """One network is away."""
    network = chance.choice(scene.networks)
    network.cut()
    try:
        await asyncio.sleep(strike.for_s)
    finally:
        network.mend()


async def line_slow(scene: Scene, strike: Strike, chance: random.Random) -> None:
    """One network takes its time."""
    weather = chance.choice(scene.networks).weather
    weather.delay_s = chance.uniform(0.05, 3.0)
    try:
        await asyncio.sleep(strike.for_s)
    finally:
        weather.delay_s = 0.0


async def line_mute(scene: Scene, strike: Strike, chance: random.Random) -> None:
    """One network takes things and does not always say so."""
    weather = chance.choice(scene.networks).weather
    weather.mute = chance.uniform(0.02, 0.2)
    try:
        await asyncio.sleep(strike.for_s)
    finally:
        weather.mute = 0.0


async def line_busy(scene: Scene, strike: Strike, chance: random.Random) -> None:
    """One network turns some away."""
    weather = chance.choice(scene.networks).weather
    weather.busy = chance.uniform(0.03, 0.3)
    try:
        await asyncio.sleep(strike.for_s)
    finally:
        weather.busy = 0.0


async def clock_small(scene: Scene, _strike: Strike, chance: random.Random) -> None:
    """The wall clock is set by seconds, while the gateway runs."""
    scene.set_clock(chance.choice((-1, 1)) * chance.randint(1_500, 90_000))


async def clock_large(scene: Scene, _strike: Strike, chance: random.Random) -> None:
    """The wall clock is set by days or years, while the gateway runs."""
    scene.set_clock(chance.choice((-1, 1)) * chance.randint(DAY_MS // 12, 400 * DAY_MS))


async def clock_while_down(scene: Scene, strike: Strike, chance: random.Random) -> None:
    """The gateway starts with another time than it ended with: a box without a clock of its own."""
    async with scene.storage, scene.victim.down():
        scene.set_clock(chance.choice((-1, 1)) * chance.randint(5_000, 30 * DAY_MS))
        await asyncio.sleep(strike.for_s)


async def disk_full(scene: Scene, strike: Strike, chance: random.Random) -> None:
    """The disk is full, for a while; in half of the cases the queue's server is killed, too."""
    if scene.disk is None:
        return
    async with scene.storage:
        scene.disk.fill()
        try:
            await asyncio.sleep(strike.for_s / 2)
            if chance.random() < 0.5:
                _kill(scene.victim.server_pid())
            await asyncio.sleep(strike.for_s / 2)
        finally:
            scene.disk.free()


def _damaging(damage: Callable[[QueueFiles, random.Random], str]) -> Fault:
    """A fault that damages the queue's files while its server is down: by itself, or with the gateway."""

    async def strike_files(scene: Scene, _strike: Strike, chance: random.Random) -> None:
        async with scene.storage:
            if chance.random() < 0.5:
                async with scene.victim.down():
                    scene.say(damage(scene.files, chance))
                return
            pid = scene.victim.server_pid()
            async with scene.victim.frozen():
                _kill(pid)
                await asyncio.sleep(0.05)
                scene.say(damage(scene.files, chance))

    strike_files.__doc__ = damage.__doc__
    return strike_files


def _kill(pid: int | None) -> None:
    if pid is not None:
        _send(pid, signal.SIGKILL)


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


FAULTS: dict[str, tuple[Fault, Habit]] = {
    "gateway_kill": (gateway_kill, Habit(every_s=12, shortest_s=0.0, longest_s=2.0)),
    "gateway_hang": (gateway_hang, Habit(every_s=40, shortest_s=0.5, longest_s=4.0)),
    "valkey_kill": (valkey_kill, Habit(every_s=12)),
    "valkey_hang": (valkey_hang, Habit(every_s=40, shortest_s=0.5, longest_s=7.0)),
    "line_cut": (line_cut, Habit(every_s=12, shortest_s=0.1, longest_s=6.0)),
    "line_slow": (line_slow, Habit(every_s=25, shortest_s=1.0, longest_s=6.0)),
    "line_mute": (line_mute, Habit(every_s=25, shortest_s=1.0, longest_s=5.0)),
    "line_busy": (line_busy, Habit(every_s=20, shortest_s=1.0, longest_s=6.0)),
    "clock_small": (clock_small, Habit(every_s=25)),
    "clock_large": (clock_large, Habit(every_s=40)),
    "clock_while_down": (clock_while_down, Habit(every_s=40, shortest_s=0.0, longest_s=1.0)),
    "disk_full": (disk_full, Habit(every_s=40, shortest_s=2.0, longest_s=6.0)),
    "aof_cut": (_damaging(QueueFiles.cut_tail), Habit(every_s=30)),
    "aof_zeros": (_damaging(QueueFiles.zeros), Habit(every_s=30)),
    "aof_garbage": (_damaging(QueueFiles.garbage), Habit(every_s=30)),
    "aof_lost_tail": (_damaging(QueueFiles.lose_tail), Habit(every_s=25)),
    "aof_emptied": (_damaging(QueueFiles.empty), Habit(every_s=45)),
}
