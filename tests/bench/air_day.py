# SPDX-License-Identifier: GPL-3.0-or-later
"""A day on the air, in virtual time: the radio bridge, a simulated mesh, and three times as much to say as goes.

`Stand` stands for the gateway's core, as far as the order on the air goes: it asks the bridge for the next one of
the heads of its queues, and sends that. `tests/bench/air_core.py` puts the core itself in its place, for a shorter day.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from meshtastic.protobuf.mesh_pb2 import MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic import kind
from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.meshtastic.convert import packet_id
from bridges.sim import Settings, SimMesh, TcpPort
from bridges.sim.identity import ChannelSetup
from bridges.sim.packets import packet_airtime_s, sender_of
from gateway.model import (
    BridgeContext,
    Candidate,
    Delivery,
    DeliveryId,
    Go,
    Hold,
    Lane,
    PermanentError,
    Refuse,
    Report,
    TransientError,
    key_of,
)
from tests.bench.air_traffic import MEAN_COST_S, RADIO, ROOMS, Plan, traffic
from tests.virtual_time import VirtualClock, run_virtually

HOUR_S = 3600.0
SHARE = 0.05
EXPLAINED = frozenset({"sent", "waiting", "expired", "refused", "failed"})
"""What may become of what was accepted."""
BUSY_S = 300.0
"""Held back for so long, an hour is not full any more."""
LOSS = 0.02
"""Of what the gateway's node and another could hear of each other."""
Happening = tuple[float, Callable[[SimMesh], None]]
"""(hour, what happens then)."""
LANES = (Lane.EMERGENCY, Lane.NORMAL, Lane.GUEST)


@dataclass
class Fate:
    """What became of one that was accepted."""

    delivery: Delivery
    accepted_s: float
    state: str = "waiting"
    reason: str = ""
    sent_s: float = math.nan
    ids: list[int] = field(default_factory=list)


@dataclass
class Day:
    """All that happened."""

    plan: Plan
    ends_s: float
    fates: dict[DeliveryId, Fate]
    on_air: list[tuple[float, float, int, int]]
    """(when, seconds, packet id, port) of everything that the gateway's node sent of its own."""
    heard: set[int]
    """Packet ids that came out somewhere."""
    busy: list[tuple[float, float]]
    """Spans in which the channel was left to others."""
    counts: Counter[str]
    disorder: Counter[str]

    @property
    def states(self) -> Counter[str]:
        return Counter(fate.state for fate in self.fates.values())

    def goodput_ratio(self) -> float:
        """Return the least airtime of what came out somewhere, over all that our node used for texts."""
        texts = [(packet, seconds) for _, seconds, packet, port in self.on_air if port == PortNum.TEXT_MESSAGE_APP]
        least = dict(texts)
        delivered_s = sum(seconds for packet, seconds in least.items() if packet in self.heard)
        return delivered_s / sum(seconds for _, seconds in texts)

    def used(self) -> Iterator[tuple[float, float]]:
        """Yield (end, seconds used) of every full hour, minute by minute."""
        ours = [(at, seconds) for at, seconds, _, port in self.on_air if port != PortNum.TELEMETRY_APP]
        for end in range(int(HOUR_S), int(self.ends_s) + 1, 60):
            yield end, sum(seconds for at, seconds in ours if end - HOUR_S < at <= end)

    def budget_error_percent(self) -> float:
        """Return by how much hours differ from what was allowed: what the worst had too much, or all had too little.

        Hours in which the channel was left to others, and those that still make up for it, can't be too empty.
        """
        allowed = SHARE * HOUR_S
        over = max(used - allowed for _, used in self.used())
        idle = [allowed - used for end, used in self.used() if not self._was_busy(end)]
        return 100 * max(over, statistics.fmean(idle)) / allowed

    def emergency_waits_s(self) -> list[float]:
        emergencies = [fate for fate in self.fates.values() if fate.delivery.lane is Lane.EMERGENCY]
        return [fate.sent_s - fate.accepted_s for fate in emergencies if fate.state == "sent"]

    def note_busy(self, reason: str, now: float, for_s: float) -> None:
        if "busy" not in reason:
            return
        if self.busy and now - self.busy[-1][1] < 60:
            self.busy[-1] = (self.busy[-1][0], now + for_s)
        else:
            self.busy.append((now, now + for_s))

    def _was_busy(self, end: float) -> bool:
        # What couldn't be used in a busy hour is spread over the next: only then it is full again.
        busy_s = sum(max(0.0, min(end, ended) - max(end - 2 * HOUR_S, began)) for began, ended in self.busy)
        return busy_s > BUSY_S


class Dispatcher(Protocol):
    """What stands between those who speak and the bridge."""

    async def accept(self, delivery: Delivery) -> None: ...

    def take(self, report: Report) -> None:
        """Take what the radio says later."""

    async def run(self) -> None: ...


class Stand:
    """Queues by lane and conversation, and one at a time to the bridge."""

    def __init__(self, bridge: MeshtasticBridge, clock: VirtualClock, day: Day) -> None:
        self._bridge = bridge
        self._clock = clock
        self._day = day
        self._queues: dict[tuple[Lane, str], deque[Candidate]] = {}
        self._generations: Counter[DeliveryId] = Counter()
        self._woken = asyncio.Event()

    def take(self, report: Report) -> None:
        pass

    async def accept(self, delivery: Delivery) -> None:
        self._day.fates[delivery.id] = Fate(delivery, self._clock.monotonic())
        key = delivery.lane, delivery.to.conversation
        self._queues.setdefault(key, deque()).append(Candidate(delivery=delivery))
        if delivery.lane is Lane.EMERGENCY or len(self._queues[key]) == 1:
            self._woken.set()

    async def run(self) -> None:
        while True:
            self._expire()
            heads = self._heads()
            if not heads:
                await self._rest(3600.0)
                continue
            match self._bridge.choose(heads):
                case Go(id=id):
                    await self._send(next(each for each in heads if each.delivery.id == id), heads)
                case Refuse(id=id, reason=reason):
                    self._end(next(each for each in heads if each.delivery.id == id), "refused", reason)
                case Hold(for_s=for_s, reason=reason):
                    self._day.counts[f"held: {reason.split(':', maxsplit=1)[0].split('(', maxsplit=1)[0]}"] += 1
                    self._day.note_busy(reason, self._clock.monotonic(), for_s)
                    await self._rest(for_s)

    def _heads(self) -> list[Candidate]:
        self._queues = {key: queue for key, queue in self._queues.items() if queue}
        return [self._queues[key][0] for key in sorted(self._queues, key=lambda key: (LANES.index(key[0]), key[1]))]

    async def _send(self, candidate: Candidate, heads: Sequence[Candidate]) -> None:
        delivery = candidate.delivery
        if LANES.index(delivery.lane) > min(LANES.index(each.delivery.lane) for each in heads):
            self._day.disorder[f"{delivery.lane} overtook"] += 1
        key = key_of(delivery.id, self._generations[delivery.id])
        fate = self._day.fates[delivery.id]
        try:
            await self._bridge.send(delivery.message, delivery.to, key=key)
        except TransientError as error:
            self._day.counts[f"again: {error}"] += 1
            self._generations[delivery.id] += error.fresh_key
            await self._rest(error.retry_after_s or 1.0)
            return
        except PermanentError as error:
            self._end(candidate, "failed", str(error))
            return
        fate.ids.append(packet_id(key))
        fate.sent_s = self._clock.monotonic()
        self._end(candidate, "sent", "")

    def _end(self, candidate: Candidate, state: str, reason: str) -> None:
        delivery = candidate.delivery
        queue = self._queues[delivery.lane, delivery.to.conversation]
        assert queue[0] is candidate, "order within a conversation"
        queue.popleft()
        fate = self._day.fates[delivery.id]
        fate.state, fate.reason = state, reason

    def _expire(self) -> None:
        now_ms = self._clock.monotonic() * 1000
        for queue in self._queues.values():
            while queue and (queue[0].delivery.expires_ms or math.inf) <= now_ms:
                self._end(queue[0], "expired", "too old for this network")

    async def _rest(self, seconds: float) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass


DispatcherOf = Callable[[MeshtasticBridge, VirtualClock, Day], Dispatcher]


@asynccontextmanager
async def _bridge(
    folder: Path, plan: Plan, counts: Counter[str]
) -> AsyncIterator[tuple[SimMesh, MeshtasticBridge, VirtualClock]]:
    channels = tuple(ChannelSetup(name="" if room == "LongFast" else room) for room in ROOMS)
    settings = Settings(region="EU_868", channels=channels, telemetry_s=60.0)
    clock = VirtualClock()
    async with SimMesh(settings=settings, seed=plan.seed) as mesh, TcpPort(mesh) as port:
        table = {"kind": "meshtastic", "connection": f"tcp:127.0.0.1:{port.port}"}
        kind.check(table)
        context = BridgeContext(
            name=RADIO,
            table=table,
            state_dir=folder,
            clock=clock,
            random=random.Random(plan.seed),
            count=lambda what: counts.update([what]),
        )
        async with MeshtasticBridge(context) as bridge:
            yield mesh, bridge, clock


async def lived(plan: Plan, folder: Path, events: Sequence[Happening], dispatcher_of: DispatcherOf = Stand) -> Day:
    counts: Counter[str] = Counter()
    ends_s = plan.hours * HOUR_S
    async with _bridge(folder, plan, counts) as (mesh, bridge, clock):
        day = Day(plan, ends_s, {}, [], set(), [], counts, Counter())
        _watch(mesh, day)
        for node in mesh.nodes.values():
            if node is not mesh.gateway:
                mesh.link(mesh.gateway.number, node.number, loss=LOSS)
        dispatcher = dispatcher_of(bridge, clock, day)
        tasks = [
            asyncio.create_task(dispatcher.run()),
            asyncio.create_task(_listen(bridge, dispatcher)),
            asyncio.create_task(_happen(mesh, events)),
        ]
        for at, delivery in traffic(plan):
            await clock.sleep(at - clock.monotonic())
            _check(tasks)
            await dispatcher.accept(delivery)
        await clock.sleep(ends_s - clock.monotonic())
        _check(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return day


def _check(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


def _watch(mesh: SimMesh, day: Day) -> None:
    gateway, before = mesh.gateway.number, mesh.air.watch

    def watch(number: int, packet: MeshPacket, now: float) -> None:
        if before is not None:
            before(number, packet, now)
        if number == sender_of(packet) == gateway:
            took = packet_airtime_s(mesh.air.preset, packet)
            day.on_air.append((now, took, packet.id, packet.decoded.portnum))

    mesh.air.watch = watch
    for node in mesh.nodes.values():
        if node is not mesh.gateway:
            node.on_heard.append(lambda _, heard: day.heard.add(heard.id) if heard.sender == gateway else None)


async def _listen(bridge: MeshtasticBridge, dispatcher: Dispatcher) -> None:
    async with aclosing(bridge.receive()) as source:
        async for item in source:
            if isinstance(item, Report):
                dispatcher.take(item)


async def _happen(mesh: SimMesh, events: Sequence[Happening]) -> None:
    loop = asyncio.get_running_loop()
    for hour, happen in events:
        await asyncio.sleep(hour * HOUR_S - loop.time())
        happen(mesh)


def crowd(share: float) -> Callable[[SimMesh], None]:
    """Have strangers take another share of the channel from then on."""
    return lambda mesh: mesh.occupy(share)


def live(
    folder: Path, *, hours: float = 24.0, seed: int = 1, times: float = 3.0, crowds: Sequence[tuple[float, float]] = ()
) -> Day:
    """Live a day with `times` as much to say as its budget carries."""
    plan = Plan(hours=hours, seed=seed, every_s=MEAN_COST_S / SHARE / times)
    return run_virtually(lived(plan, folder, [(hour, crowd(share)) for hour, share in crowds]))


async def day_on_air(folder: Path) -> dict[str, float]:
    """Return the figures of a whole day with a busy and a crowded hour."""
    crowds = [(0.0, 0.03), (8.0, 0.3), (9.0, 0.03), (15.0, 0.5), (16.0, 0.03)]
    day = await asyncio.to_thread(live, folder, crowds=crowds)
    return {"goodput_ratio": day.goodput_ratio(), "budget_error_percent": day.budget_error_percent()}
