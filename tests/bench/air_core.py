# SPDX-License-Identifier: GPL-3.0-or-later
"""A shorter day on the air with the gateway's own core: its journal on disk, its intake, queue and delivery.

In virtual time, which stands still while the journal's threads write or read.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bridges.meshtastic.bridge import MeshtasticBridge
from gateway.journal import Change
from gateway.journal.reader import Reader
from gateway.journal.writer import Writer
from gateway.model import Address, BridgeName, Delivery, Hold, Message, RemoteId, Report, State
from gateway.planning import Plan as Planned
from gateway.routing import Route, RoutingTable
from tests.bench.air_day import LANES, SHARE, Day, Fate, Happening, lived
from tests.bench.air_traffic import MEAN_COST_S, NODES, RADIO, ROOMS, Plan
from tests.contract.delivery_desk import Core, running_core
from tests.virtual_time import VirtualClock, VirtualLoop, run_virtually

OUT = frozenset({State.SENT, State.HEARD, State.DELIVERED})
EXPIRES_S = 1800
NOTICED_S = 1.0
"""What is accepted while another is on its way to the radio can't go before that."""
TABLE = RoutingTable(
    routes=tuple(
        Route(
            name=place,
            sources=(Address(BridgeName("home"), f"#{place}"),),
            targets=(Address(RADIO, place),),
            expires_s={RADIO: EXPIRES_S},
        )
        for place in (*ROOMS, *NODES)
    ),
    in_clear=frozenset({RADIO}),
)


class CoreDispatcher:
    """The core, and what its observers are told, written into the day."""

    def __init__(self, bridge: MeshtasticBridge, clock: VirtualClock, day: Day, folder: Path) -> None:
        self._bridge = bridge
        self._clock = clock
        self._day = day
        self._folder = folder
        self._core: asyncio.Future[Core] = asyncio.get_running_loop().create_future()
        self._untried: dict[str, Fate] = {}

    async def accept(self, delivery: Delivery) -> None:
        message = replace(
            delivery.message,
            received_ms=self._clock.now_ms(),
            remote_id=RemoteId(delivery.message.native_id.removeprefix("mx:")),
        )
        await (await self._core).intake.accept(message)

    def take(self, report: Report) -> None:
        self._core.result().sender.reports.take(report)

    async def run(self) -> None:
        with _standing_while_the_journal_works():
            async with running_core(self._folder, self._watched(), clock=self._clock, table=TABLE) as core:
                core.watcher.followers = (self,)
                self._core.set_result(core)
                await asyncio.Event().wait()

    def accepted(self, _message: Message, plan: Planned) -> None:
        now = self._clock.monotonic()
        for delivery in plan.deliveries:
            self._day.fates[delivery.id] = self._untried[delivery.id] = Fate(delivery, now)
        for delivery, state, reason in plan.ended:
            self._day.fates[delivery.id] = Fate(delivery, now, state.value, reason)

    def changed(self, _bridge: BridgeName, change: Change) -> None:
        fate = self._day.fates[change.id]
        if change.state is State.SENDING:
            self._judge(fate)
        if change.state in OUT and math.isnan(fate.sent_s):
            fate.sent_s = self._clock.monotonic()
        if change.state not in (State.QUEUED, State.WAITING):
            self._untried.pop(change.id, None)
        elif change.reason:
            self._day.counts[f"again: {change.reason}"] += 1
        fate.state = "sent" if change.state in OUT else change.state.value
        fate.reason = change.reason

    def _judge(self, fate: Fate) -> None:
        """Note where something goes although something else of a lane before it was there and never tried."""
        lane, now = fate.delivery.lane, self._clock.monotonic()
        ahead = LANES[: LANES.index(lane)]
        if any(each.delivery.lane in ahead and now - each.accepted_s > NOTICED_S for each in self._untried.values()):
            self._day.disorder[f"{lane} overtook"] += 1

    def _watched(self) -> MeshtasticBridge:
        choose = self._bridge.choose

        def chosen(waiting: Sequence[Any]) -> Any:
            answer = choose(waiting)
            if isinstance(answer, Hold):
                self._day.note_busy(answer.reason, self._clock.monotonic(), answer.for_s)
            return answer

        self._bridge.choose = chosen  # type: ignore[method-assign]  # only looked at
        return self._bridge


@contextmanager
def _standing_while_the_journal_works() -> Iterator[None]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)

    def patiently(ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(*args: Any, **more: Any) -> Any:
            with loop.standing():
                return await ask(*args, **more)

        return asked

    with ExitStack() as patches:
        for kind, name in ((Reader, "ask"), (Writer, "_ask")):
            patches.enter_context(patch.object(kind, name, patiently(getattr(kind, name))))
        yield


def live(folder: Path, *, hours: float, seed: int, times: float = 3.0, events: Sequence[Happening] = ()) -> Day:
    """Live some hours with `times` as much to say as the budget carries."""
    plan = Plan(hours=hours, seed=seed, every_s=MEAN_COST_S / SHARE / times)
    return run_virtually(
        lived(plan, folder, events, lambda bridge, clock, day: CoreDispatcher(bridge, clock, day, folder))
    )
