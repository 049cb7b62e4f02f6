# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast leg: the real gateway, its real journal and queue, between two simulated networks and its API."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import disk
from tests.chaos.act import Act, Outcome, Wish, beside, calm, closed, let_loose
from tests.chaos.damage import QueueFiles, keep_remembering
from tests.chaos.faults import FAULTS, Scene
from tests.chaos.journal_read import why_not_there
from tests.chaos.ledger import Ledger
from tests.chaos.networks import FarNetwork
from tests.chaos.victim import Victim

ROOMS = 12
DISK_MIB = 640

CONFIG = """
[gateway]
name = "storm"
data_dir = "{data}"
run_dir = "{run}"
[queue]
url = "embedded"
max_deliveries = {quota}
[api]
listen = "127.0.0.1:0"
[log]
format = "console"
[permissions]
"*" = "transmit"
[bridges.east]
kind = "line"
socket = "{run}/east.sock"
breaks = "{breaks}"
[bridges.west]
kind = "line"
socket = "{run}/west.sock"
breaks = "{breaks}"
""" + "".join(f'[[routes]]\nname = "r{n}"\njoin = ["east/room{n}", "west/room{n}"]\n' for n in range(ROOMS))


@dataclass(slots=True, kw_only=True)
class _Stage:
    scene: Scene
    ledger: Ledger
    chance: random.Random


async def play(wish: Wish) -> Outcome:
    """Run one act of the fast leg."""
    async with _stage(wish) as stage:
        act = Act(wish=wish, ledger=stage.ledger, up=stage.scene.victim.wait_up)
        faults = {name: fault for name, (fault, _) in FAULTS.items()}
        habits = {name: habit for name, (_, habit) in FAULTS.items() if name != "disk_full" or stage.scene.disk}
        try:
            async with beside(_jobs(stage, act)):
                await stage.scene.victim.wait_up()
                await let_loose(act, stage.scene, habits, faults)
                await calm(act)
        finally:
            act.last_exit = await stage.scene.victim.stop()
        victim = stage.scene.victim
        act.ended_itself = Counter(map(str, victim.ended_itself))
        repeats = sum(network.repeats for network in stage.scene.networks)
        act.figures.update(repeated_keys=repeats, gateway_starts=victim.starts, told=victim.told())
        with why_not_there(stage.scene.files.data_dir / "journal.db", _native_id) as excuse:
            outcome = closed(act, excuse=excuse)
        if wish.disk and not outcome.is_clean:
            _save_evidence(stage.scene.files.data_dir, wish.folder)
        return outcome


def _jobs(stage: _Stage, act: Act) -> list[Coroutine[Any, Any, None]]:
    people = [_talk(network, stage, act) for network in stage.scene.networks]
    return [stage.scene.victim.keep(), keep_remembering(stage.scene.files), _post(stage, act), *people]


@asynccontextmanager
async def _stage(wish: Wish) -> AsyncIterator[_Stage]:
    chance = random.Random(f"{wish.seed}:fast")
    run_dir = Path(tempfile.mkdtemp(prefix="cb-"))
    data_dir = wish.folder / "data"
    data_dir.mkdir(parents=True)
    ledger = Ledger(wish.folder / "ledger.txt")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, run_dir, ignore_errors=True)
        stack.callback(ledger.close)
        small = stack.enter_context(disk.SmallDisk(data_dir, mib=DISK_MIB)) if wish.disk else None
        quota = 100_000 if chance.random() < 0.7 else 300
        config = CONFIG.format(data=data_dir, run=run_dir, quota=quota, breaks=wish.breaks)
        names = (("east", "west"), ("west", "east"))
        networks = tuple(
            FarNetwork(a, b, run_dir / f"{a}.sock", ledger, random.Random(f"{wish.seed}:{a}")) for a, b in names
        )
        for network in networks:
            network.weather.forgets = wish.breaks == "forget"
        victim = Victim(wish.folder, config, run_dir=run_dir)
        scene = Scene(victim=victim, files=QueueFiles(data_dir), networks=networks, disk=small, say=ledger.note)
        async with networks[0], networks[1]:
            yield _Stage(scene=scene, ledger=ledger, chance=chance)


def _save_evidence(data_dir: Path, folder: Path) -> None:
    """The small disk goes when the act ends; its files are what a failure is understood by."""
    shutil.copytree(data_dir, folder / "data-copy", dirs_exist_ok=True, ignore=shutil.ignore_patterns("ballast"))


async def _talk(network: FarNetwork, stage: _Stage, act: Act) -> None:
    """People talk in bursts; they hold back only while very much is on its way, which bounds a run."""
    chance = random.Random(f"{act.wish.seed}:{network.name}:talk")
    while True:
        await asyncio.sleep(0.02)
        if not act.is_talking or stage.ledger.on_its_way > act.wish.most_on_its_way:
            continue
        for _ in range(int(chance.expovariate(1 / (act.wish.rate / 2 * 0.02)) + 0.5)):
            network.say(f"room{chance.randrange(ROOMS)}")


async def _post(stage: _Stage, act: Act) -> None:
    """Somebody posts to the API, one after the other, each until it is answered 2xx."""
    for number in itertools.count(1):
        while not act.is_talking:
            await asyncio.sleep(0.1)
        body = {"to": "west/room0", "text": f"api#{number} posted"}
        while True:
            try:
                answer = await stage.scene.victim.ask(
                    "POST", "/api/v1/messages", body=body, headers={"Idempotency-Key": f"p{number}"}, timeout_s=5.0
                )
            except OSError:
                answer = None
            if answer is not None and answer.status < 300:
                break
            await asyncio.sleep(0.1)
        stage.ledger.accept("api>west/room0", number)
        await asyncio.sleep(0.05)


def _native_id(stream: str, number: int) -> str:
    """Return the native id of a message, as the API and `LineBridge` make it."""
    origin = stream.partition(">")[0]
    return f"api:p{number}" if origin == "api" else f"line:{origin}#{number}"
