# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is done to them, the outbox in memory and the one on a server answer the same."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.model import (
    Address,
    BridgeName,
    Delivery,
    Lane,
    LeaseLost,
    Message,
    NativeId,
    RemoteId,
    Sender,
    SenderId,
    Text,
)
from gateway.outbox.memory import MemoryOutbox
from gateway.outbox.outbox import Buried, Done, Fence, Outbox, Quota, Retry
from gateway.outbox.redis import RedisOutbox
from tests.contract.queue_server import valkey

__all__ = ["valkey"]

RADIO = BridgeName("radio")
START = 1_700_000_000_000
QUOTA = Quota(deliveries=12, size_bytes=3000, dead_letters=3)


def delivery(number: int) -> Delivery:
    """A delivery whose every property follows from its number."""
    message = Message(
        native_id=NativeId(f"test:{number}"),
        origin=Address.parse("home/room"),
        sender=Sender(id=SenderId("@ali:example.org"), name="Ali"),
        content=Text(body="x" * (number % 7)),
        received_ms=START + number % 5,
        lane=list(Lane)[number % 11 % 3],
    )
    expires_ms = START + 40 + number if number % 3 == 0 else None
    conversation = ("c0", "c1", "!d2")[number % 3]
    to = Address(RADIO, conversation)
    return Delivery(message=message, to=to, expires_ms=expires_ms, direct=conversation.startswith("!"))


ids = st.integers(0, 24).map(lambda number: delivery(number).id)
soon = st.integers(0, 60)
outcomes = st.lists(st.tuples(st.integers(0, 5), st.sampled_from("dddwrrcx"), soon), min_size=1, max_size=5)
steps = st.one_of(
    st.tuples(st.just("put"), st.lists(st.integers(0, 24), max_size=6), st.integers(-1, 1)),
    st.tuples(st.just("claim"), st.integers(1, 6), st.integers(1, 4)),
    st.tuples(st.just("heads"), st.integers(1, 9), st.integers(0, 5)),
    st.tuples(st.just("take"), st.integers(0, 8)),
    st.tuples(st.just("settle"), outcomes),
    st.tuples(st.just("wait"), soon),
    st.tuples(st.just("acquire"), st.sampled_from(["one", "two"]), st.sampled_from([50, 50, 0])),
    st.tuples(st.just("resign")),
    st.tuples(st.just("report"), ids),
    st.tuples(st.just("requeue"), ids, soon, st.booleans()),
    st.tuples(st.just("overdue"), st.integers(0, 3)),
    st.tuples(st.just("cancel"), st.lists(ids, max_size=3)),
    st.tuples(st.just("redrive"), st.lists(ids, max_size=3)),
    st.tuples(st.just("drop"), st.lists(ids, max_size=3)),
    st.tuples(st.just("due_now"), st.sampled_from([None, "c0", "c1", "!d2"])),
    st.tuples(st.just("shift"), st.sampled_from([-1_000_000, 7, 1_000_000])),
    st.tuples(st.just("look")),
)


class Driver:
    """One outbox being put through a story; what it answered is its history."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.now = START
        self.fence = Fence(destination=RADIO, owner="nobody", epoch=0)
        self.leased: list[Any] = []
        self.heads: tuple[Any, ...] = ()
        self.history: list[Any] = []

    async def play(self, story: list[tuple[Any, ...]]) -> list[Any]:
        for name, *args in story:
            step: Callable[..., Awaitable[Any]] = getattr(self, f"do_{name}")
            try:
                self.history.append((name, await step(*args)))
            except LeaseLost:
                self.history.append((name, "lease lost"))
            self.history.append(await self.outbox.depth([RADIO]))
        return self.history

    async def do_put(self, numbers: list[int], off: int) -> Any:
        cursor = await self.outbox.cursor(RADIO, "box")
        return await self.outbox.put(
            RADIO,
            "box",
            after=max(cursor + off, 0),
            upto=cursor + off + len(numbers) + 1,
            deliveries=[delivery(number) for number in numbers],
        )

    async def do_claim(self, limit: int, run: int) -> Any:
        claimed = await self.outbox.claim(self.fence, now_ms=self.now, visible_ms=30, limit=limit, run=run)
        self.leased += [lease.id for lease in claimed.leases]
        return claimed.leases, claimed.next_ms, sorted(claimed.expired, key=lambda given: given.id)

    async def do_heads(self, limit: int, turn: int) -> Any:
        found = await self.outbox.heads(self.fence, now_ms=self.now, limit=limit, turn=turn)
        self.heads = found.heads
        return found.heads, found.due, found.next_ms, sorted(found.expired, key=lambda given: given.id)

    async def do_take(self, number: int) -> Any:
        if number >= len(self.heads):
            return None
        lease = await self.outbox.take(self.fence, self.heads[number], now_ms=self.now, visible_ms=30)
        self.leased += [] if lease is None else [lease.id]
        return lease

    async def do_settle(self, outcomes: list[tuple[int, str, int]]) -> None:
        chosen = [(self.leased[-1 - back], kind, at) for back, kind, at in outcomes if back < len(self.leased)]
        await self.outbox.settle(self.fence, [self.outcome(*given) for given in chosen], now_ms=self.now)

    def outcome(self, id_: Any, kind: str, at: int) -> Any:
        return {
            "d": Done(id=id_, remote_id=RemoteId(f"r;{id_}") if at % 2 else None),
            "w": Done(id=id_, awaiting_until_ms=self.now + at, remote_id=RemoteId("r")),
            "r": Retry(id=id_, at_ms=self.now + at, fresh_key=at % 2 == 0),
            "c": Retry(id=id_, at_ms=self.now + at, counted=False),
            "x": Buried(id=id_, reason="no"),
        }[kind]

    async def do_wait(self, by: int) -> None:
        self.now += by

    async def do_acquire(self, owner: str, ttl_ms: int) -> Any:
        fence = await self.outbox.acquire(RADIO, owner, now_ms=self.now, ttl_ms=ttl_ms)
        self.fence = fence or self.fence
        return fence

    async def do_resign(self) -> None:
        await self.outbox.resign(self.fence)

    async def do_report(self, id_: Any) -> bool:
        return await self.outbox.report(self.fence, id_)

    async def do_requeue(self, id_: Any, at: int, fresh: bool) -> bool:
        return await self.outbox.requeue(self.fence, id_, at_ms=self.now + at, fresh_key=fresh)

    async def do_overdue(self, keep: int) -> Any:
        late = await self.outbox.overdue(self.fence, now_ms=self.now, keep=keep)
        return sorted(late, key=lambda given: given.id)

    async def do_cancel(self, ids: list[Any]) -> Any:
        return await self.outbox.cancel(RADIO, ids)

    async def do_redrive(self, ids: list[Any]) -> Any:
        return await self.outbox.redrive(RADIO, ids, now_ms=self.now)

    async def do_drop(self, ids: list[Any]) -> Any:
        return await self.outbox.drop(RADIO, ids)

    async def do_due_now(self, conversation: str | None) -> None:
        await self.outbox.due_now(RADIO, conversation, now_ms=self.now)

    async def do_look(self) -> Any:
        everything = [delivery(number).id for number in range(25)]
        return await self.outbox.fates(RADIO, everything), await self.outbox.holder(RADIO, now_ms=self.now)

    async def do_shift(self, by: int) -> None:
        self.outbox.shift(by)
        self.now += by


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@settings(
    max_examples=int(os.environ.get("TWINS", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(story=st.lists(steps, min_size=1, max_size=25), shared=st.booleans())
def test_the_twins_answer_the_same(
    runner: asyncio.Runner, valkey: str, story: list[tuple[Any, ...]], *, shared: bool
) -> None:
    opening = [("acquire", "one", 50), ("put", list(range(6)), 0)]

    async def play() -> tuple[list[Any], list[Any]]:
        async with RedisOutbox(valkey, community=uuid.uuid4().hex, quota=QUOTA, shared=shared) as outbox:
            twin = MemoryOutbox(QUOTA, shared=shared)
            return await Driver(outbox).play(opening + story), await Driver(twin).play(opening + story)

    on_server, in_memory = runner.run(play())
    assert on_server == in_memory
