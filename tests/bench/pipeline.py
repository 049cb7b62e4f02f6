# SPDX-License-Identifier: GPL-3.0-or-later
"""From intake to acknowledged delivery, through a real journal and a real embedded Valkey, in this process."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from gateway.assembly import Assembly, Parts
from gateway.clock import SystemClock
from gateway.config import load
from gateway.delivery import deliver
from gateway.journal import Journal, Retention
from gateway.metrics import Metrics
from gateway.model import (
    Address,
    BridgeKind,
    BridgeName,
    Capabilities,
    Delivery,
    Message,
    NativeId,
    Receipt,
    RemoteId,
    Sender,
    SenderId,
    Support,
    Text,
)
from gateway.outbox.embedded import EmbeddedServer
from gateway.outbox.outbox import Done
from gateway.outbox.redis import RedisOutbox
from gateway.process import share_the_interpreter
from gateway.registry import Registry
from gateway.status import EventHub
from gateway.tally import Tally

CONVERSATIONS = 64
BODY = "x" * 200
FAR = BridgeName("far")


class InstantBridge:
    """A network that takes everything at once."""

    def __init__(self, context):
        self.name = context.name
        self.capabilities = Capabilities(room_for=lambda *_: 1000, names=Support.NATIVE, in_flight=CONVERSATIONS)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def receive(self):
        await asyncio.Event().wait()
        yield

    async def send(self, message, to, *, key):
        return Receipt(remote_id=RemoteId(key))


class CountingOutbox(RedisOutbox):
    """Counts batches and what is settled, and says when there is something new."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.settled = 0
        self.calls: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        self.news = asyncio.Event()

    def _count(self, what, number):
        if number:
            self.calls[what] += 1
            self.items[what] += number

    async def put(self, destination, source, *, deliveries, **more):
        self._count("put", len(deliveries))
        return await super().put(destination, source, deliveries=deliveries, **more)

    async def claim(self, fence, **times):
        claimed = await super().claim(fence, **times)
        self._count("claim", len(claimed.leases))
        return claimed

    async def settle(self, fence, outcomes, *, now_ms):
        await super().settle(fence, outcomes, now_ms=now_ms)
        self._count("settle", len(outcomes))
        self.settled += sum(isinstance(outcome, Done) for outcome in outcomes)
        self.news.set()

    async def settled_up_to(self, number):
        while self.settled < number:
            self.news.clear()
            await self.news.wait()

    def batch(self, what):
        """The mean size of a batch."""
        return max(1, round(self.items[what] / max(1, self.calls[what])))


def message(number: int, conversation: int) -> Message:
    return Message(
        native_id=NativeId(f"bench:{number}"),
        origin=Address(BridgeName("near"), f"room{conversation}"),
        sender=Sender(id=SenderId("@someone:example.org"), name="Someone"),
        content=Text(body=BODY),
        received_ms=time.time_ns() // 1_000_000,
        remote_id=RemoteId(f"$event-id-of-a-usual-length-{number:012}"),
    )


CONFIG = """
[gateway]
name = "bench"
data_dir = "data"
[bridges.near]
kind = "instant"
[bridges.far]
kind = "instant"
""" + "".join(
    f'[[routes]]\nname = "r{n}"\nfrom = ["near/room{n}"]\nto = ["far/room{n}"]\n' for n in range(CONVERSATIONS)
)


@asynccontextmanager
async def core(
    folder: Path,
    config: str,
    registry: Registry,
    *,
    journal_type: type[Journal] = Journal,
    outbox_type: type[RedisOutbox] = RedisOutbox,
) -> AsyncIterator[tuple[Parts, Journal, RedisOutbox]]:
    """A gateway's core on its default settings, running: real journal, real embedded queue, no servers."""
    share_the_interpreter()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "crossband.toml").write_text(config)
    settings = load(folder / "crossband.toml", {}, registry=registry)
    clock = SystemClock()
    server = EmbeddedServer(folder / "queue", run_dir=folder / "run", fsync=settings.queue.fsync)
    async with (
        server,
        journal_type(folder / "journal.db", clock=clock, retention=Retention()) as journal,
        outbox_type(server.url, community="bench") as outbox,
        asyncio.TaskGroup() as group,
    ):
        running = [group.create_task(server.run())]
        parts = await Assembly(
            settings=settings,
            registry=registry,
            journal=journal,
            outbox=outbox,
            clock=clock,
            random=random.Random(1),
            tally=Tally(EventHub(), Metrics()),
        ).build()
        for part in parts.by_bridge.values():
            jobs = (part.drain.run(), deliver(part.sender), part.supervisor.run())
            running += [group.create_task(job) for job in jobs]
        yield parts, journal, outbox
        for task in running:
            task.cancel()


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[tuple[Parts, CountingOutbox]]:
    """A core between two networks that take everything at once, warm."""
    registry = Registry({"instant": lambda: BridgeKind(create=InstantBridge, check=lambda _: frozenset())})
    async with core(folder, CONFIG, registry, outbox_type=CountingOutbox) as (parts, _, outbox):
        await parts.intake.accept(message(-1, 0))
        await outbox.settled_up_to(1)
        yield parts, outbox


async def serial(folder: Path, messages: int) -> float:
    """Messages a second with one in flight."""
    async with gateway(folder) as (parts, outbox):
        began = time.perf_counter()
        for number in range(messages):
            await parts.intake.accept(message(number, number % CONVERSATIONS))
            await outbox.settled_up_to(number + 2)
        return messages / (time.perf_counter() - began)


async def parallel(folder: Path, messages: int) -> tuple[float, float, dict[str, int]]:
    """Messages a second over 64 conversations; the same scripts bare at the same batch sizes; those sizes."""
    each = messages // CONVERSATIONS

    async with gateway(folder) as (parts, outbox):
        # Made before the clock starts, as the bare run's are: a bridge makes them, what is measured begins at intake.
        said = [[message(at * each + number, at) for number in range(each)] for at in range(CONVERSATIONS)]

        async def talk(some: Sequence[Message]) -> None:
            for one in some:
                await parts.intake.accept(one)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for some in said:
                group.create_task(talk(some))
        await outbox.settled_up_to(each * CONVERSATIONS + 1)
        whole = each * CONVERSATIONS / (time.perf_counter() - began)
        sizes = {what: outbox.batch(what) for what in ("put", "claim", "settle")}
        bare = await _bare(outbox, each * CONVERSATIONS, sizes)
    return whole, bare, sizes


async def _bare(outbox: RedisOutbox, messages: int, sizes: dict[str, int]) -> float:
    """Put, claim and settle with nothing around them."""
    destination = BridgeName("bare")
    deliveries = [
        Delivery(
            message=replace(message(number, number % CONVERSATIONS), remote_id=None),
            to=Address(destination, f"room{number % CONVERSATIONS}"),
        )
        for number in range(messages)
    ]
    now_ms = time.time_ns() // 1_000_000
    fence = await outbox.acquire(destination, "bench", now_ms=now_ms, ttl_ms=600_000)
    assert fence is not None
    began = time.perf_counter()
    done = put = 0
    while done < messages:
        if put < messages and put - done < 4 * sizes["put"]:
            batch: Sequence[Delivery] = deliveries[put : put + sizes["put"]]
            await outbox.put(destination, "bare", after=put, upto=put + len(batch), deliveries=batch)
            put += len(batch)
        now_ms = time.time_ns() // 1_000_000
        claimed = await outbox.claim(fence, now_ms=now_ms, visible_ms=60_000, limit=sizes["claim"], run=16)
        ids = [lease.delivery.id for lease in claimed.leases]
        for start in range(0, len(ids), sizes["settle"]):
            some = [Done(id=one) for one in ids[start : start + sizes["settle"]]]
            await RedisOutbox.settle(outbox, fence, some, now_ms=now_ms)
        done += len(ids)
    return messages / (time.perf_counter() - began)
