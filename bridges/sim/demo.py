# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband demo``: a whole small town on this machine, until Ctrl-C; or its scripted form, counted."""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bridges.sim.airwaves import Heard
from bridges.sim.box import BoxFailed
from bridges.sim.ledger import Row
from bridges.sim.person import Seen
from bridges.sim.script import LISTENER, Play
from bridges.sim.stage import Stage
from bridges.sim.synapse import PYTHON_VARIABLE, SynapseFailed, synapse_python
from bridges.sim.town import Plan, Town

SCRIPT_WITHIN_S = 105.0
"""Of talking and waiting; with what it takes to start and stop it stays under two minutes."""
_SMALL_TALK_S = (15.0, 30.0)
_THINKS_S = (2.0, 5.0)
_SMALL_TALK = (
    "Path to the mill is dry",
    "Battery at 80 percent, sun is out",
    "Anyone seen the post cart?",
    "Fog down by the lock, clear up here",
    "Testing the new antenna, how do you hear me?",
    "Soup at the square from noon",
    "Two walkers on the way down, all well",
    "Snow line is at the upper hut",
)
_ANSWERS = ("Heard you, thank you", "Good to know", "Will pass it on", "On my way", "Copied, all well here")


Result = TypeVar("Result")


class DemoFailed(Exception):
    """The demo can't go on; the text says why and what mends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for."""

    folder: Path | None = None
    """Where everything is kept, and stays; None: a temporary directory."""
    keep: bool = False
    """Leave the temporary directory where it is."""
    listen_port: int | None = None


def show(stage: Stage, options: Options) -> None:
    """Run until SIGINT or SIGTERM; DemoFailed."""
    with _folder(stage, options) as folder, suppress(asyncio.CancelledError):
        _run(_live(stage, _plan(folder, options)))


def play(stage: Stage, options: Options) -> tuple[Row, ...]:
    """Play the script once; return what became of it. DemoFailed if it can't be played to the end."""
    with _folder(stage, options) as folder:
        try:
            return _run(_scripted(stage, _plan(folder, options)))
        except asyncio.CancelledError as stopped:
            raise DemoFailed("stopped before the end") from stopped


async def _live(stage: Stage, plan: Plan) -> None:
    async with _town(stage, plan) as town:
        stage.playbill(town, plan.password or "")
        town.radios.heard.told.append(_tell_heard(stage, town))
        town.visitor.seen.told.append(_tell_seen(stage, town))
        async with asyncio.TaskGroup() as group:
            group.create_task(_small_talk(town), name="small talk")
            group.create_task(_answer(town), name="answers")


async def _scripted(stage: Stage, plan: Plan) -> tuple[Row, ...]:
    async with _town(stage, plan) as town:
        performance = Play(town, stage.tell)
        return (await performance.run(within_s=SCRIPT_WITHIN_S)).rows()


def _town(stage: Stage, plan: Plan) -> Town:
    return Town(plan, step=lambda what: stage.tell("start", f"starting: {what}"))


def _plan(folder: Path, options: Options) -> Plan:
    return Plan(folder=folder, password=secrets.token_hex(4), listen_port=options.listen_port)


async def _small_talk(town: Town) -> None:
    """Have somebody say something now and then, on either side."""
    chance = random.Random()  # noqa: S311 - small talk
    *_, square, lock = town.radios.nodes
    while True:
        await asyncio.sleep(chance.uniform(*_SMALL_TALK_S))
        words = chance.choice(_SMALL_TALK)
        if chance.random() < 0.5:  # noqa: PLR2004 - a coin
            await town.radios.say(chance.choice((square, lock)), words)
        else:
            with suppress(TimeoutError):
                await chance.choice(tuple(town.people.values())).say(words)


async def _answer(town: Town) -> None:
    """Have somebody at a radio answer what the visitor says."""
    chance = random.Random()  # noqa: S311 - small talk
    waiting: asyncio.Queue[Heard] = asyncio.Queue(maxsize=20)
    name = f"{town.visitor.name}: "

    def heard(text: Heard) -> None:
        if text.node == LISTENER and text.text.startswith(name) and not waiting.full():
            waiting.put_nowait(text)

    town.radios.heard.told.append(heard)
    while True:
        text = await waiting.get()
        await asyncio.sleep(chance.uniform(*_THINKS_S))
        await town.radios.say(LISTENER, chance.choice(_ANSWERS), reply_to=text.id)


def _tell_heard(stage: Stage, town: Town) -> Callable[[Heard], None]:
    names = {number: name for name, number in town.radios.nodes.items()}
    witness = {name: next(other for other in list(names.values())[1:] if other != name) for name in names.values()}

    def told(heard: Heard) -> None:
        speaker = names.get(heard.sender, f"!{heard.sender:08x}")
        if heard.sender == town.radios.gateway:
            if heard.node == LISTENER:
                stage.tell("arrived", f"on the radio at {heard.node}: {heard.text}")
        elif heard.node == witness.get(speaker):
            stage.tell("radio", f"{speaker}: {heard.text}")

    return told


def _tell_seen(stage: Stage, town: Town) -> Callable[[Seen], None]:
    names = {person.user_id: person.name for person in (*town.people.values(), town.visitor)}

    def told(seen: Seen) -> None:
        if seen.sender != town.box.wiring.user_id:
            stage.tell("room", f"{names.get(seen.sender, seen.sender)}: {seen.text}")
        elif seen.name:
            stage.tell("arrived", f"in the room, from {seen.name}: {seen.text}")
        else:
            stage.tell("arrived", f"in the room: {seen.text}")

    return told


@contextmanager
def _folder(stage: Stage, options: Options) -> Iterator[Path]:
    if synapse_python() is None:
        raise DemoFailed(
            "Synapse, the homeserver, isn't installed here. `make run` prepares it, in .synapse-venv; "
            f"or name its interpreter in {PYTHON_VARIABLE}"
        )
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(options.folder.iterdir()):
            raise DemoFailed(f"{options.folder} is not empty: name a new directory")
        yield options.folder.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="crossband-demo-"))
    try:
        yield folder
    finally:
        if options.keep:
            stage.say(f"kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run until done; SIGINT and SIGTERM cancel it, once: what it started, it then ends."""

    async def cancellable() -> Result:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(cancellable())
    except (BoxFailed, SynapseFailed, ConnectionError) as error:
        raise DemoFailed(str(error)) from error
