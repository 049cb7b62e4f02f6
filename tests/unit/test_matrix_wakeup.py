# SPDX-License-Identifier: GPL-3.0-or-later
"""Waking a homeserver by Synapse's rules: nothing it was told stays with it, whenever it was told."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest

from bridges.matrix.appservice.registration import Registration
from bridges.matrix.appservice.wakeup import MOST_PROBES, Wakeup
from gateway.model import BridgeContext, BridgeName
from tests.appservice_scheduler import Scheduler, Sent, Stirred
from tests.virtual_time import VirtualClock, run_virtually

OURS = Registration(id="crossband", url="http://127.0.0.1:1", as_token="a", hs_token="h")
SETTLES_S = 200.0
"""In which everything is to have come after the last of it was said; a zombie's longest pause is 512 s."""


class Box:
    """One connection: what `AppserviceBridge.transaction` does, with a journal that takes its time."""

    def __init__(self, chance: random.Random, *, slowest_s: float = 0.1, fails: float = 0.0, may: bool = True) -> None:
        self.chance = chance
        self.counts: Counter[str] = Counter()
        self.scheduler = Scheduler(self.deliver, chance, slowest_s=slowest_s)
        self.stirred = Stirred(self.scheduler, may=may)
        context = BridgeContext(
            name=BridgeName("home"),
            table={},
            state_dir=Path("unused"),
            clock=VirtualClock(),
            random=chance,
            count=lambda name: self.counts.update([name]),
        )
        self.wakeup = Wakeup(cast("Any", self.scheduler), context, cast("Any", self.stirred))
        self.fails = fails
        self.took: list[str] = []
        self.is_slow_s = 0.0
        self.said: list[str] = []
        self.left_to_say = 0
        """What somebody says in the moments in which a recovery has looked for the last time, once in each."""
        self.scheduler.ends = self.ends

    def say(self) -> None:
        self.said.append(f"e{len(self.said)}")
        self.scheduler.happens(self.said[-1])

    def ends(self) -> None:
        if self.left_to_say:
            self.left_to_say -= 1
            self.say()

    async def deliver(self, sent: Sent) -> bool:
        if self.wakeup.refuses(sent.txn_id):
            return False
        await asyncio.sleep(self.is_slow_s)
        match self.chance.random():
            case luck if luck < self.fails / 2:
                self.wakeup.failed(sent.txn_id)
                return False
            case luck:
                self.took += [event for event in sent.events if event not in self.took]
                self.wakeup.took(sent.txn_id, passes=sent.passes)
                return luck >= self.fails

    @contextlib.asynccontextmanager
    async def awake(self):
        self.wakeup.connected()
        task = asyncio.create_task(self.wakeup.wake(OURS))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.scheduler.stop()


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_said_at_whatever_moment_comes_though_nothing_is_said_after_it(seed: int):
    chance = random.Random(seed)
    box_of = {"slowest_s": chance.choice((0.01, 0.1, 0.5)), "fails": chance.choice((0.0, 0.0, 0.2))}

    async def connection() -> tuple[list[str], list[str], dict[int, tuple[str, ...]]]:
        box = Box(chance, **box_of)
        box.is_slow_s = chance.choice((0.0, 0.0, 3.0))
        box.left_to_say = chance.randrange(4)
        async with box.awake():
            for _ in range(chance.randrange(1, 12)):
                await asyncio.sleep(chance.choice((0.0, 0.05, 0.3, 1.0, 4.0, 30.0)))
                box.say()
            box.fails = 0.0
            await asyncio.sleep(SETTLES_S)
            return box.said, [event for event in box.took if event != "our own"], dict(box.scheduler.kept)

    said, took, kept = run_virtually(connection())
    assert (sorted(took), kept) == (sorted(said), {}), f"seed {seed}"


def test_a_transaction_of_the_recovery_isnt_taken_for_what_comes_after_it():
    async def connection() -> tuple[list[str], int]:
        box = Box(random.Random(1), slowest_s=0.0)
        async with box.awake():
            box.is_slow_s = 3.0
            box.scheduler.happens(*(f"e{number}" for number in range(350)))  # four transactions: 12 s
            await asyncio.sleep(30)
            return box.took, box.stirred.typed

    took, typed = run_virtually(connection())
    assert len(took) == 351
    assert typed > 2  # those that were dropped, as the homeserver thought us down, told nothing


def test_a_homeserver_that_pushes_nothing_is_told_of_in_words_and_left_alone():
    async def connection() -> tuple[dict[str, str], int, Counter[str]]:
        box = Box(random.Random(1), may=False)
        async with box.awake():
            await asyncio.sleep(3_600)
            return dict(box.wakeup.facts()), box.stirred.typed, box.counts

    facts, typed, counts = run_virtually(connection())
    assert facts["ping"] == "ok, 1 ms"
    assert "may come late" in facts["pushes"]
    assert (typed, counts["matrix_probe_unanswered"]) == (5, 1)


def test_a_homeserver_that_pushes_what_is_said_and_nothing_that_passes_is_left_alone_in_the_end():
    async def connection() -> tuple[dict[str, str], Counter[str], int, int]:
        box = Box(random.Random(1))
        probes: list[None] = []

        async def type_in_vain() -> bool:
            probes.append(None)
            return True

        box.stirred.type = type_in_vain  # type: ignore[method-assign]
        async with box.awake():
            for minute in range(120):
                for _ in range(12):
                    box.say()
                    await asyncio.sleep(5)
                if minute == 60:
                    before = len(probes)
            return dict(box.wakeup.facts()), box.counts, before, len(probes)

    facts, counts, before, after = run_virtually(connection())
    assert "may come late" in facts["pushes"]
    assert (counts["matrix_probe_unanswered"], before, after) == (1, MOST_PROBES, MOST_PROBES)


def test_where_all_came_nothing_more_is_made():
    async def connection() -> tuple[dict[str, str], int]:
        box = Box(random.Random(1))
        async with box.awake():
            await asyncio.sleep(60)
            before = box.stirred.typed
            await asyncio.sleep(3_600)
            return dict(box.wakeup.facts()), box.stirred.typed - before

    assert run_virtually(connection()) == ({"ping": "ok, 1 ms"}, 0)


def test_a_recovery_in_the_midst_of_a_connection_is_seen_to_its_end():
    async def connection() -> tuple[list[str], int]:
        box = Box(random.Random(1))
        async with box.awake():
            await asyncio.sleep(60)
            before = box.stirred.typed
            box.fails = 1.0
            box.scheduler.happens("hard")
            await asyncio.sleep(1)
            box.fails = 0.0
            await asyncio.sleep(60)
            return box.took, box.stirred.typed - before

    took, typed = run_virtually(connection())
    assert (took, typed > 0) == (["our own", "hard"], True)
