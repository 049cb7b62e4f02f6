# SPDX-License-Identifier: GPL-3.0-or-later
"""One act of a run: a storm over one leg, the calm after it, and what came of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.chaos.ledger import Excuse, Figures, Ledger, read, reconcile
from tests.chaos.storm import Habit, Strike, storm

Scene = TypeVar("Scene")

RECOVER_WITHIN_S = 120.0
"""From the end of a fault until messages arrive again, whatever else strikes meanwhile."""
STALL_S = 75.0
"""In the calm: nothing has arrived for so long, so nothing will. Longer than any pause of the gateway's own."""
QUIET_S = 4.0
"""In the calm, when the gateway has nothing left to do: what was on its way over the networks has come by then."""
SETTLE_S = 2.0
"""A second copy would show within this."""
TELL_EVERY_S = 10.0
RATE = 400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an act is to be."""

    leg: str
    seed: str
    seconds: float
    folder: Path
    disk: bool = False
    """On a small disk of its own, to fill."""
    without: tuple[str, ...] = ()
    """Kinds of faults to leave out."""
    breaks: str = ""
    """Which promise is broken on purpose."""
    rate: float = RATE
    """Messages a second, at most."""
    most_on_its_way: int = 5_000
    tell: Callable[[str], None] = print


@dataclass(slots=True, kw_only=True)
class Act:
    """An act that is being played."""

    wish: Wish
    ledger: Ledger
    up: Callable[[], Awaitable[None]]
    """Return when every part is there again; TimeoutError."""
    is_talking: bool = False
    """Whether people talk: in the storm, not before and not after."""
    faults: Counter[str] = field(default_factory=Counter)
    stuck: list[str] = field(default_factory=list)
    """What did not recover, in words."""
    recovery_s: dict[str, float] = field(default_factory=dict)
    """The longest, per kind of fault."""
    figures: dict[str, Any] = field(default_factory=dict)
    """More of the leg's own."""
    ended_itself: Counter[str] = field(default_factory=Counter)
    """Exit codes of gateways nobody had killed or stopped."""
    last_exit: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an act."""

    wish: Wish
    total: Figures
    streams: Mapping[str, Figures]
    act: Act

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept, everything recovered and no gateway ended that nobody had ended.

        One that finds its disk full when it starts says so and ends; it is started again.
        """
        act = self.act
        died = set(act.ended_itself) - ({"1"} if "disk_full" in act.faults else set())
        return self.total.is_clean and not act.stuck and not died and act.last_exit == 0


@asynccontextmanager
async def beside(jobs: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Have these done meanwhile. One that fails is an error of the storm's own: it is raised at the end."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


async def let_loose(
    act: Act,
    scene: Scene,
    habits: Mapping[str, Habit],
    faults: Mapping[str, Callable[[Scene, Strike, random.Random], Awaitable[None]]],
) -> None:
    """Carry a storm out; return when its last fault is over and everything is there again."""
    wanted = {name: habit for name, habit in habits.items() if name not in act.wish.without}
    schedule = storm(wanted, act.wish.seconds, f"{act.wish.seed}:{act.wish.leg}")
    act.is_talking = True
    began = time.monotonic()
    telling = asyncio.create_task(_tell(act, began))
    try:
        async with asyncio.TaskGroup() as group:
            for strike in schedule:
                await asyncio.sleep(max(0.0, began + strike.at_s - time.monotonic()))
                group.create_task(_strike(act, scene, strike, faults[strike.fault]))
            await asyncio.sleep(max(0.0, began + act.wish.seconds - time.monotonic()))
    finally:
        telling.cancel()


async def _strike(
    act: Act, scene: Scene, strike: Strike, fault: Callable[[Scene, Strike, random.Random], Awaitable[None]]
) -> None:
    act.faults[strike.fault] += 1
    act.ledger.note(f"{strike.fault} begins")
    await fault(scene, strike, random.Random(strike.chance))
    act.ledger.note(f"{strike.fault} is over")
    over, seen = time.monotonic(), act.ledger.seen
    try:
        async with asyncio.timeout(RECOVER_WITHIN_S):
            while act.ledger.seen == seen and act.ledger.on_its_way:
                await asyncio.sleep(0.05)
            await act.up()
    except TimeoutError:
        act.stuck.append(f"{RECOVER_WITHIN_S:g} s after {strike.fault} at {strike.at_s:g} s nothing had recovered")
    took = time.monotonic() - over
    act.recovery_s[strike.fault] = round(max(took, act.recovery_s.get(strike.fault, 0.0)), 2)


async def _tell(act: Act, began: float) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        ledger = act.ledger
        act.wish.tell(
            f"{act.wish.leg} {time.monotonic() - began:5.0f} of {act.wish.seconds:.0f} s  accepted {ledger.accepted}"
            f"  arrived {ledger.arrived}  on its way {ledger.on_its_way}  faults {act.faults.total()}"
        )


async def calm(act: Act, *, settled: Callable[[], Awaitable[bool]] | None = None) -> None:
    """Nobody talks any more: wait until everything has arrived, or nothing does for long.

    `settled`: whether the gateway has nothing left to do; then what hasn't arrived in a while never will.
    """
    act.is_talking = False
    ledger = act.ledger
    began = moved = time.monotonic()
    seen = ledger.seen
    while (quiet_s := time.monotonic() - moved) < STALL_S:
        is_settled = settled is None or await settled()
        if is_settled and (not ledger.on_its_way or (settled is not None and quiet_s > QUIET_S)):
            break
        await asyncio.sleep(0.1)
        if ledger.seen != seen:
            seen, moved = ledger.seen, time.monotonic()
    act.figures["drain_s"] = round(time.monotonic() - began, 1)
    with suppress(TimeoutError):
        await act.up()
    await asyncio.sleep(SETTLE_S)


def broken_off(wish: Wish, error: Exception) -> Outcome:
    """Return what is left of an act that the storm itself could not go on with: nothing of it is counted."""
    ledger = Ledger(wish.folder / "ledger.txt")
    ledger.close()
    why = f"{wish.folder.name} broke off, and nothing of it is counted: {type(error).__name__}: {error}"
    act = Act(wish=wish, ledger=ledger, up=_nothing_is_up, stuck=[why])
    return Outcome(wish=wish, total=Figures(), streams={}, act=act)


async def _nothing_is_up() -> None:
    raise TimeoutError


def closed(act: Act, *, excuse: Excuse, copies: Callable[[str, int], int] = lambda _stream, _number: 1) -> Outcome:
    """Compare what was accepted with what was seen."""
    streams = reconcile(
        read(act.ledger.path), excuse=excuse, copies=copies, as_accepted=lambda stream: stream.startswith("radio/")
    )
    total = Figures()
    for figures in streams.values():
        total.add(figures)
    return Outcome(wish=act.wish, total=total, streams=streams, act=act)
