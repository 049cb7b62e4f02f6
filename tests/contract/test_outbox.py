# SPDX-License-Identifier: GPL-3.0-or-later
"""What every outbox promises, sentence by sentence: in memory, and on a real Valkey."""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.model import (
    Address,
    BridgeName,
    Delivery,
    DeliveryId,
    Lane,
    LeaseLost,
    Message,
    NativeId,
    RemoteId,
    ResumePoint,
    Sender,
    SenderId,
    State,
    StoreRefused,
    StoreUnavailable,
    Text,
)
from gateway.outbox.memory import MemoryOutbox
from gateway.outbox.outbox import (
    Buried,
    Claimed,
    Done,
    Fate,
    Fence,
    Full,
    Gap,
    Head,
    Heads,
    Holder,
    Lease,
    Outbox,
    Outcome,
    Quota,
    Retry,
    Stored,
)
from gateway.outbox.records import write_body
from gateway.outbox.redis import RedisOutbox
from gateway.outbox.redis_client import connect
from tests.contract.queue_server import valkey
from tests.queue_servers import cluster

__all__ = ["valkey"]

RADIO = BridgeName("radio")
HOME = BridgeName("home")
START = 1_700_000_000_000


def delivery(number: int, conversation: str = "town", lane: Lane = Lane.NORMAL, **rest: Any) -> Delivery:
    to = Address(rest.pop("bridge", RADIO), conversation)
    message = Message(
        native_id=NativeId(f"test:{number}"),
        origin=Address(HOME, "!room:example.org"),
        sender=Sender(id=SenderId("@ali:example.org"), name="Ali"),
        content=Text(body=rest.pop("body", f"{number} ✓")),
        received_ms=rest.pop("received_ms", START - 1000 + number),
        lane=lane,
    )
    return Delivery(message=message, to=to, **rest)


@dataclass
class Harness:
    """An outbox, a way to make it forget, and short words for what tests do to it."""

    outbox: Outbox
    quota: Quota
    upto: int = 0

    async def put(self, *deliveries: Delivery, source: str = "box") -> Stored | Gap | Full:
        after = await self.outbox.cursor(RADIO, source)
        return await self.outbox.put(RADIO, source, after=after, upto=after + len(deliveries), deliveries=deliveries)

    async def hold(self, owner: str = "one", now_ms: int = START, ttl_ms: int = 15_000) -> Fence:
        fence = await self.outbox.acquire(RADIO, owner, now_ms=now_ms, ttl_ms=ttl_ms)
        assert fence is not None
        return fence

    async def claim(self, fence: Fence, now_ms: int = START, limit: int = 100, run: int = 1) -> Claimed:
        return await self.outbox.claim(fence, now_ms=now_ms, visible_ms=60_000, limit=limit, run=run)

    async def claimed(self, fence: Fence, now_ms: int = START, **rest: int) -> list[int]:
        return numbers(await self.claim(fence, now_ms, **rest))

    async def heads(self, fence: Fence, now_ms: int = START, limit: int = 256, turn: int = 0) -> Heads:
        return await self.outbox.heads(fence, now_ms=now_ms, limit=limit, turn=turn)

    async def take(self, fence: Fence, head: Head, now_ms: int = START) -> Lease | None:
        return await self.outbox.take(fence, head, now_ms=now_ms, visible_ms=60_000)

    async def settle(self, fence: Fence, *outcomes: Outcome, now_ms: int = START) -> None:
        await self.outbox.settle(fence, outcomes, now_ms=now_ms)

    async def waiting(self) -> int:
        return sum(row.waiting for row in await self.outbox.depth([RADIO]))

    async def remember(self) -> Any:
        if isinstance(self.outbox, MemoryOutbox):
            return self.outbox.snapshot()
        say = self.outbox._open().execute_command
        return {key: await say("DUMP", key) for key in await self._keys(self.outbox)}

    async def _keys(self, outbox: RedisOutbox) -> list[bytes]:
        return list(await outbox._open().execute_command("KEYS", outbox._keys.tag.replace("{", "[{]") + "*"))

    async def lose_what_came_after(self, memory: Any) -> None:
        if isinstance(self.outbox, MemoryOutbox):
            self.outbox.restore(memory)
            return
        say = self.outbox._open().execute_command
        for key in await self._keys(self.outbox):
            await say("DEL", key)
        for key, value in (memory or {}).items():
            await say("RESTORE", key, 0, value)


def number(given: Delivery) -> int:
    return int(given.message.native_id.partition(":")[2])


def numbers(claimed: Claimed) -> list[int]:
    return [number(lease.delivery) for lease in claimed.leases]


def gone(*deliveries: Delivery) -> list[int]:
    return [number(given) for given in deliveries]


QUOTA = Quota(deliveries=600, size_bytes=200_000, dead_letters=5)


@pytest.fixture(params=["memory", "valkey", "cluster"])
def url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "memory" else request.getfixturevalue(request.param)


@pytest.fixture(scope="module", name="cluster")
def _cluster() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="xb") as folder, cluster(Path(folder)) as nodes:
        yield "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


@pytest.fixture
async def queue(url: str | None) -> AsyncIterator[Harness]:
    if url is None:
        yield Harness(MemoryOutbox(QUOTA), QUOTA)
        return
    async with RedisOutbox(url, community=uuid.uuid4().hex, quota=QUOTA) as outbox:
        yield Harness(outbox, QUOTA)


def shown(heads: Heads) -> list[int]:
    return [number(head.delivery) for head in heads.heads]


# --- order -----------------------------------------------------------------------------------------


async def test_a_conversation_is_claimed_in_order_and_its_head_only(queue: Harness) -> None:
    await queue.put(*(delivery(n) for n in range(4)))
    fence = await queue.hold()
    for n in range(4):
        claimed = await queue.claim(fence)
        assert numbers(claimed) == [n]
        assert await queue.claimed(fence) == []
        await queue.settle(fence, Done(id=claimed.leases[0].id))
    assert (await queue.claim(fence)).next_ms is None


async def test_a_run_takes_consecutive_ones_of_one_conversation(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(*(delivery(n, "town" if n < 5 else "hill") for n in range(8)))
    claimed = await queue.claim(fence, run=3)
    assert numbers(claimed) == [0, 1, 2, 5, 6, 7]
    await queue.settle(fence, *(Done(id=lease.id) for lease in claimed.leases[:3]))
    assert await queue.claimed(fence, run=3) == [3, 4]


async def test_the_limit_counts_deliveries_not_conversations(queue: Harness) -> None:
    await queue.put(*(delivery(n, f"room {n % 4}") for n in range(12)))
    fence = await queue.hold()
    assert len((await queue.claim(fence, limit=5, run=2)).leases) == 5


async def test_the_conversation_due_longest_comes_first(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(delivery(3, "a"), delivery(2, "b"), delivery(1, "c"))
    assert await queue.claimed(fence, limit=2) == [1, 2]


async def test_conversations_take_turns(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(*(delivery(n, "ab"[n % 2]) for n in range(6)))
    order = []
    for step in range(6):
        claimed = await queue.claim(fence, START + step, limit=1)
        order += numbers(claimed)
        await queue.settle(fence, Done(id=claimed.leases[0].id), now_ms=START + step)
    assert order == [0, 1, 2, 3, 4, 5]


async def test_a_held_back_conversation_does_not_hold_back_another(queue: Harness) -> None:
    await queue.put(delivery(1, "a"), delivery(2, "a"), delivery(3, "b"), delivery(4, "b"))
    fence = await queue.hold()
    first, other = (await queue.claim(fence)).leases
    await queue.settle(fence, Retry(id=first.id, at_ms=START + 5000), Done(id=other.id))
    claimed = await queue.claim(fence)
    assert numbers(claimed) == [4]
    assert claimed.next_ms == START + 5000
    assert await queue.claimed(fence, START + 4999) == []
    assert await queue.claimed(fence, START + 5000) == [1]


async def test_a_held_back_lane_does_not_hold_back_another_lane(queue: Harness) -> None:
    await queue.put(delivery(1), delivery(2, lane=Lane.GUEST))
    fence = await queue.hold()
    normal, guest = (await queue.claim(fence)).leases
    await queue.settle(fence, Retry(id=normal.id, at_ms=START + 5000), Done(id=guest.id))
    await queue.put(delivery(3, lane=Lane.GUEST))
    assert await queue.claimed(fence) == [3]


async def test_emergency_overtakes_and_guests_come_last(queue: Harness) -> None:
    await queue.put(delivery(1, lane=Lane.GUEST), delivery(2), delivery(3, lane=Lane.EMERGENCY))
    fence = await queue.hold()
    assert await queue.claimed(fence, limit=1) == [3]
    assert await queue.claimed(fence) == [2, 1]


async def test_emergencies_of_one_conversation_keep_their_order(queue: Harness) -> None:
    await queue.put(*(delivery(n, lane=Lane.EMERGENCY if n % 2 else Lane.NORMAL) for n in range(6)))
    fence = await queue.hold()

    assert await queue.claimed(fence, run=9) == [1, 3, 5, 0, 2, 4]


async def test_within_a_lane_direct_chats_come_before_channels(queue: Harness) -> None:
    await queue.put(
        delivery(0),
        delivery(1, "!a1", Lane.GUEST, direct=True),
        delivery(2, lane=Lane.GUEST),
        delivery(3, "!b2", direct=True),
        delivery(4, lane=Lane.EMERGENCY),
        delivery(5, "!b2", Lane.EMERGENCY, direct=True),
    )

    assert await queue.claimed(await queue.hold()) == [5, 4, 3, 0, 1, 2]


async def test_depth_calls_a_lane_by_its_name_for_direct_chats_too(queue: Harness) -> None:
    await queue.put(delivery(0, "!a1", direct=True), delivery(1, "!b2", Lane.GUEST, direct=True), delivery(2))

    rows = {(row.conversation, row.lane, row.waiting) for row in await queue.outbox.depth([RADIO])}
    assert rows == {("!a1", "normal", 1), ("!b2", "guest", 1), ("town", "normal", 1)}


async def test_due_now_ends_a_direct_chats_backing_off(queue: Harness) -> None:
    await queue.put(delivery(0, "!a1", direct=True))
    fence = await queue.hold()
    claimed = await queue.claim(fence)
    await queue.settle(fence, Retry(id=claimed.leases[0].id, at_ms=START + 60_000))

    await queue.outbox.due_now(RADIO, now_ms=START)

    assert await queue.claimed(fence) == [0]


async def test_destinations_do_not_see_each_other(queue: Harness) -> None:
    await queue.put(delivery(1))
    fence = await queue.outbox.acquire(HOME, "one", now_ms=START, ttl_ms=1000)
    assert fence
    assert await queue.claimed(fence) == []


# --- put -------------------------------------------------------------------------------------------


async def test_put_takes_a_sequence_once(queue: Harness) -> None:
    batch = [delivery(1), delivery(2)]
    assert await queue.outbox.put(RADIO, "box", after=0, upto=7, deliveries=batch) == Stored(new=2, known=0)
    assert await queue.outbox.cursor(RADIO, "box") == 7
    again = await queue.outbox.put(RADIO, "box", after=0, upto=7, deliveries=batch)
    assert again == Stored(new=0, known=2)
    assert await queue.waiting() == 2


async def test_put_from_elsewhere_than_the_cursor_is_a_gap(queue: Harness) -> None:
    await queue.outbox.put(RADIO, "box", after=0, upto=5, deliveries=[delivery(1)])
    assert await queue.outbox.put(RADIO, "box", after=9, upto=12, deliveries=[delivery(2)]) == Gap(cursor=5)
    assert await queue.outbox.put(RADIO, "box", after=2, upto=4, deliveries=[delivery(2)]) == Gap(cursor=5)
    assert await queue.waiting() == 1


async def test_an_empty_batch_moves_and_checks_the_cursor(queue: Harness) -> None:
    assert await queue.outbox.put(RADIO, "box", after=0, upto=3, deliveries=[]) == Stored(new=0, known=0)
    assert await queue.outbox.put(RADIO, "box", after=3, upto=3, deliveries=[]) == Stored(new=0, known=0)
    assert await queue.outbox.put(RADIO, "box", after=4, upto=4, deliveries=[]) == Gap(cursor=3)


async def test_sources_and_destinations_have_cursors_of_their_own(queue: Harness) -> None:
    await queue.outbox.put(RADIO, "box", after=0, upto=3, deliveries=[])
    assert await queue.outbox.cursor(HOME, "box") == 0
    assert await queue.outbox.cursor(RADIO, "other box") == 0


@pytest.mark.parametrize("where", ["waiting", "leased", "awaiting", "dead"])
async def test_what_is_in_the_queue_is_not_put_again(queue: Harness, where: str) -> None:
    await queue.put(delivery(1))
    fence = await queue.hold()
    if where != "waiting":
        (lease,) = (await queue.claim(fence)).leases
    if where == "awaiting":
        await queue.settle(fence, Done(id=lease.id, awaiting_until_ms=START + 1000))
    if where == "dead":
        await queue.settle(fence, Buried(id=lease.id, reason="too big"))
    assert await queue.put(delivery(1), source="another box") == Stored(new=0, known=1)


async def test_the_same_delivery_twice_in_a_batch_counts_once(queue: Harness) -> None:
    assert await queue.put(delivery(1), delivery(1)) == Stored(new=1, known=1)


async def test_after_losing_its_tail_the_source_rewinds_and_nothing_doubles(queue: Harness) -> None:
    await queue.put(delivery(1))
    memory = await queue.remember()
    await queue.put(delivery(2), delivery(3))
    await queue.lose_what_came_after(memory)
    assert await queue.outbox.put(RADIO, "box", after=3, upto=4, deliveries=[delivery(4)]) == Gap(cursor=1)
    rest = [delivery(n) for n in (2, 3, 4)]
    assert await queue.outbox.put(RADIO, "box", after=1, upto=4, deliveries=rest) == Stored(new=3, known=0)
    assert await queue.claimed(await queue.hold(), run=9) == [1, 2, 3, 4]


async def test_after_losing_everything_its_cursor_is_zero(queue: Harness) -> None:
    await queue.put(delivery(1), delivery(2))
    fence = await queue.hold()
    await queue.lose_what_came_after(None)
    assert await queue.outbox.put(RADIO, "box", after=2, upto=3, deliveries=[]) == Gap(cursor=0)
    with pytest.raises(LeaseLost):
        await queue.claim(fence)


async def test_a_full_quota_takes_nothing_of_the_batch(queue: Harness) -> None:
    most = queue.quota.deliveries
    assert await queue.put(*(delivery(n, body="x") for n in range(most))) == Stored(new=most, known=0)
    full = await queue.put(delivery(most))
    assert isinstance(full, Full)
    assert full.deliveries == most
    assert await queue.outbox.cursor(RADIO, "box") == most


async def test_emergency_may_use_a_tenth_more(queue: Harness) -> None:
    most = queue.quota.deliveries
    await queue.put(*(delivery(n, body="x") for n in range(most)))
    urgent = [delivery(most + n, lane=Lane.EMERGENCY, body="x") for n in range(most // 10)]
    assert await queue.put(*urgent) == Stored(new=len(urgent), known=0)
    assert isinstance(await queue.put(delivery(9999, lane=Lane.EMERGENCY)), Full)


async def test_bytes_count_too_and_come_back_when_sent(queue: Harness) -> None:
    big = [delivery(n, body="x" * 60_000) for n in range(4)]
    assert await queue.put(*big[:3]) == Stored(new=3, known=0)
    full = await queue.put(big[3])
    assert isinstance(full, Full)
    assert full.size_bytes > 180_000
    fence = await queue.hold()
    await queue.settle(fence, Done(id=(await queue.claim(fence)).leases[0].id))
    assert await queue.put(big[3]) == Stored(new=1, known=0)


async def test_a_message_from_a_clock_in_the_future_is_due_all_the_same(queue: Harness) -> None:
    await queue.put(delivery(1, received_ms=START * 2))
    assert await queue.claimed(await queue.hold()) == [1]


# --- the fence -------------------------------------------------------------------------------------


async def test_a_lease_is_over_at_its_last_millisecond_not_before(queue: Harness) -> None:
    first = await queue.hold("one", ttl_ms=1000)
    assert await queue.outbox.acquire(RADIO, "two", now_ms=START + 999, ttl_ms=1000) is None
    second = await queue.outbox.acquire(RADIO, "two", now_ms=START + 1000, ttl_ms=1000)
    assert second is not None
    assert second.epoch > first.epoch


async def test_renewing_keeps_a_rival_out(queue: Harness) -> None:
    fence = await queue.hold("one", ttl_ms=1000)
    await queue.outbox.renew(fence, now_ms=START + 900, ttl_ms=1000)
    assert await queue.outbox.acquire(RADIO, "two", now_ms=START + 1899, ttl_ms=1000) is None


async def test_resigning_lets_a_standby_in_at_once(queue: Harness) -> None:
    fence = await queue.hold("one")
    await queue.outbox.resign(fence)
    successor = await queue.hold("two")
    assert successor.epoch > fence.epoch
    await queue.outbox.resign(fence)  # late, and without effect
    await queue.outbox.renew(successor, now_ms=START, ttl_ms=1000)


async def test_the_same_owner_takes_over_from_its_dead_self(queue: Harness) -> None:
    first = await queue.hold("one")
    second = await queue.hold("one")
    assert second.epoch > first.epoch


async def test_a_stale_fence_can_do_nothing(queue: Harness) -> None:
    stale = await queue.hold("one")
    await queue.put(delivery(1), delivery(2, "hill"))
    (lease, awaiting) = (await queue.claim(stale)).leases
    await queue.settle(stale, Done(id=awaiting.id, awaiting_until_ms=START + 9000))
    fence = await queue.hold("one")
    for call in (
        queue.claim(stale),
        queue.settle(stale, Done(id=lease.id)),
        queue.outbox.renew(stale, now_ms=START, ttl_ms=1000),
        queue.outbox.report(stale, awaiting.id),
        queue.outbox.requeue(stale, awaiting.id, at_ms=START, fresh_key=False),
        queue.outbox.overdue(stale, now_ms=START + 9000, keep=0),
    ):
        with pytest.raises(LeaseLost):
            await call
    assert await queue.claimed(fence) == [1]
    assert await queue.outbox.report(fence, awaiting.id)


async def test_a_takeover_makes_the_former_leases_due_at_once(queue: Harness) -> None:
    await queue.put(delivery(1), delivery(2))
    await queue.claim(await queue.hold("one", ttl_ms=1000), run=2)
    successor = await queue.hold("two", now_ms=START + 1000)
    assert await queue.claimed(successor, START + 1000, run=2) == [1, 2]


async def test_epochs_grow_across_a_loss_of_everything(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.lose_what_came_after(None)
    assert (await queue.hold(now_ms=START + 1)).epoch > fence.epoch


# --- settling --------------------------------------------------------------------------------------


async def test_leases_come_back_when_their_time_is_over(queue: Harness) -> None:
    await queue.put(delivery(1))
    fence = await queue.hold()
    (lease,) = (await queue.claim(fence)).leases
    assert lease.until_ms == START + 60_000
    assert await queue.claimed(fence, START + 59_999) == []
    (again,) = (await queue.claim(fence, START + 60_000)).leases
    assert (again.delivery, again.attempt) == (lease.delivery, 1)


async def test_counted_retries_count_and_others_do_not(queue: Harness) -> None:
    await queue.put(delivery(1))
    fence = await queue.hold()
    seen = []
    for counted in (True, False, True, True):
        (lease,) = (await queue.claim(fence)).leases
        seen.append(lease.attempt)
        await queue.settle(fence, Retry(id=lease.id, at_ms=START, counted=counted))
    assert seen == [1, 2, 2, 3]


async def test_what_is_put_again_under_another_key_is_claimed_under_that_wherever_it_is_claimed(queue: Harness) -> None:
    """Or else the box that takes over would send it under its first one, beside what the other had sent."""
    first, again = delivery(1), delivery(2)
    await queue.outbox.put(
        RADIO, "box", after=0, upto=2, deliveries=[first, again], generations={again.id: 3, DeliveryId("gone"): 1}
    )
    fence = await queue.hold()

    claimed = await queue.claim(fence, run=2)

    assert [(lease.attempt, lease.generation) for lease in claimed.leases] == [(1, 0), (1, 3)]
    known = await queue.outbox.put(RADIO, "other", after=0, upto=1, deliveries=[again], generations={again.id: 1})
    assert known == Stored(new=0, known=1)
    taken_over = await queue.claim(await queue.hold("two", START + 60_000), START + 60_000, run=2)
    assert [lease.generation for lease in taken_over.leases] == [0, 3]


async def test_a_fresh_key_raises_the_generation(queue: Harness) -> None:
    await queue.put(delivery(1))
    fence = await queue.hold()
    seen = []
    for fresh in (False, True, True):
        (lease,) = (await queue.claim(fence)).leases
        seen.append(lease.generation)
        await queue.settle(fence, Retry(id=lease.id, at_ms=START, fresh_key=fresh))
    assert seen == [0, 0, 1]


async def test_a_retry_gives_back_the_later_leases_of_its_run(queue: Harness) -> None:
    await queue.put(*(delivery(n) for n in range(4)))
    fence = await queue.hold()
    leases = (await queue.claim(fence, run=4)).leases
    await queue.settle(fence, Done(id=leases[0].id), Retry(id=leases[1].id, at_ms=START + 10), Done(id=leases[2].id))
    again = await queue.claim(fence, START + 10, run=4)
    assert numbers(again) == [1, 2, 3]
    assert [lease.attempt for lease in again.leases] == [2, 1, 1]


async def test_a_conversation_goes_on_when_all_its_leases_are_settled(queue: Harness) -> None:
    await queue.put(*(delivery(n) for n in range(4)))
    fence = await queue.hold()
    leases = (await queue.claim(fence, run=3)).leases
    await queue.settle(fence, Retry(id=leases[2].id, at_ms=START + 10))
    await queue.settle(fence, Done(id=leases[1].id))
    assert await queue.claimed(fence, START + 100) == []
    await queue.settle(fence, Done(id=leases[0].id))
    assert await queue.claimed(fence, START + 9) == []
    assert await queue.claimed(fence, START + 10, run=9) == [2, 3]


async def test_settling_twice_changes_nothing(queue: Harness) -> None:
    await queue.put(delivery(1), delivery(2))
    fence = await queue.hold()
    (lease,) = (await queue.claim(fence)).leases
    for _ in range(2):
        await queue.settle(fence, Done(id=lease.id), Buried(id=DeliveryId("unknown"), reason=""))
    assert await queue.waiting() == 1
    assert await queue.claimed(fence) == [2]


async def test_what_is_not_leased_cannot_be_settled(queue: Harness) -> None:
    await queue.put(delivery(1), delivery(2))
    fence = await queue.hold()
    await queue.settle(fence, Done(id=delivery(1).id))
    await queue.claim(fence)
    await queue.settle(fence, Done(id=delivery(2).id))
    assert await queue.waiting() == 2


# --- expiry ----------------------------------------------------------------------------------------


async def test_expired_ones_are_taken_off_and_told(queue: Harness) -> None:
    await queue.put(delivery(1, expires_ms=START + 10), delivery(2, expires_ms=START + 11), delivery(3))
    fence = await queue.hold()
    claimed = await queue.claim(fence, START + 10, run=9)
    assert gone(*claimed.expired) == [1]
    assert numbers(claimed) == [2, 3]


async def test_an_expired_one_in_the_middle_of_a_run_is_left_out(queue: Harness) -> None:
    await queue.put(delivery(1), delivery(2, expires_ms=START), delivery(3), delivery(4))
    fence = await queue.hold()
    claimed = await queue.claim(fence, run=3)
    assert numbers(claimed) == [1, 3, 4]
    await queue.settle(fence, *(Done(id=lease.id) for lease in claimed.leases))
    assert await queue.waiting() == 0


async def test_emergency_never_expires(queue: Harness) -> None:
    await queue.put(delivery(1, lane=Lane.EMERGENCY, expires_ms=START))
    assert await queue.claimed(await queue.hold(), START + 1) == [1]


async def test_a_claim_takes_off_five_hundred_expired_ones_at_most(queue: Harness) -> None:
    await queue.put(*(delivery(n, body="", expires_ms=START - 1) for n in range(510)), delivery(999))
    fence = await queue.hold()
    first = await queue.claim(fence)
    assert (len(first.expired), numbers(first)) == (500, [])
    assert first.next_ms is not None
    assert first.next_ms <= START
    second = await queue.claim(fence)
    assert (len(second.expired), numbers(second)) == (10, [999])


async def test_expired_ones_are_told_until_their_holder_goes_on(queue: Harness) -> None:
    """A crash between the answer and its record in the journal must not hide what became of them."""
    await queue.put(delivery(1, expires_ms=START))
    await queue.claim(await queue.hold())
    fence = await queue.hold()
    claimed = await queue.claim(fence)
    assert gone(*claimed.expired) == [1]
    assert (await queue.claim(fence)).expired == ()
    assert (await queue.claim(await queue.hold())).expired == ()


# --- awaiting --------------------------------------------------------------------------------------


def await_until(lease: Lease, until_ms: int) -> Done:
    return Done(id=lease.id, awaiting_until_ms=until_ms)


async def awaiting(queue: Harness, fence: Fence, *given: int) -> list[DeliveryId]:
    await queue.put(*(delivery(n) for n in given))
    leases = (await queue.claim(fence, run=len(given))).leases
    await queue.settle(
        fence, *(Done(id=lease.id, awaiting_until_ms=START + n) for lease, n in zip(leases, given, strict=True))
    )
    return [lease.id for lease in leases]


async def test_an_awaiting_delivery_lets_its_lane_go_on(queue: Harness) -> None:
    fence = await queue.hold()
    (id_,) = await awaiting(queue, fence, 100)
    await queue.put(delivery(2))
    assert await queue.claimed(fence) == [2]
    assert await queue.outbox.report(fence, id_)
    assert not await queue.outbox.report(fence, id_)
    assert await queue.outbox.overdue(fence, now_ms=START + 100, keep=0) == ()


async def test_a_requeued_delivery_is_tried_again_before_what_waits(queue: Harness) -> None:
    fence = await queue.hold()
    (id_,) = await awaiting(queue, fence, 100)
    await queue.put(delivery(2))
    assert await queue.outbox.requeue(fence, id_, at_ms=START + 50, fresh_key=True)
    assert not await queue.outbox.requeue(fence, id_, at_ms=START + 50, fresh_key=True)
    assert await queue.claimed(fence, START + 49) == []
    first, second = (await queue.claim(fence, START + 50, run=2)).leases
    assert [number(first.delivery), first.attempt, first.generation] == [100, 2, 1]
    assert number(second.delivery) == 2


async def test_a_requeued_delivery_waits_for_what_is_leased(queue: Harness) -> None:
    fence = await queue.hold()
    (id_,) = await awaiting(queue, fence, 100)
    await queue.put(*(delivery(n) for n in (2, 3, 4)))
    leases = (await queue.claim(fence, run=2)).leases
    assert await queue.outbox.requeue(fence, id_, at_ms=START + 50, fresh_key=False)
    await queue.settle(fence, *(Done(id=lease.id) for lease in leases))
    assert await queue.claimed(fence, START + 49) == []
    assert await queue.claimed(fence, START + 50, run=9) == [100, 4]


async def test_overdue_gives_those_whose_time_is_over(queue: Harness) -> None:
    fence = await queue.hold()
    await awaiting(queue, fence, 10, 20, 30)
    assert gone(*await queue.outbox.overdue(fence, now_ms=START + 20, keep=9)) == [10, 20]
    assert await queue.outbox.overdue(fence, now_ms=START + 20, keep=9) == ()


async def test_overdue_gives_the_oldest_beyond_what_is_kept(queue: Harness) -> None:
    fence = await queue.hold()
    await awaiting(queue, fence, 10, 20, 30)
    assert gone(*await queue.outbox.overdue(fence, now_ms=START, keep=1)) == [10, 20]


async def test_overdue_ones_are_told_until_their_holder_goes_on(queue: Harness) -> None:
    await awaiting(queue, await queue.hold(), 10)
    fence = await queue.hold()
    assert gone(*await queue.outbox.overdue(fence, now_ms=START + 10, keep=9)) == [10]
    fence = await queue.hold()
    assert gone(*await queue.outbox.overdue(fence, now_ms=START + 10, keep=9)) == [10]
    await queue.outbox.resign(fence)
    assert await queue.outbox.overdue(await queue.hold(), now_ms=START + 10, keep=9) == ()


# --- dead letters, cancel, retry now ---------------------------------------------------------------


async def bury(queue: Harness, fence: Fence, **rest: Any) -> DeliveryId:
    await queue.put(delivery(1, **rest))
    (lease,) = (await queue.claim(fence)).leases
    await queue.settle(fence, Retry(id=lease.id, at_ms=START, fresh_key=True))
    await queue.claim(fence)
    await queue.settle(fence, Buried(id=lease.id, reason="too big; really"))
    return lease.id


async def test_a_buried_delivery_lets_its_conversation_go_on(queue: Harness) -> None:
    await queue.put(delivery(1), delivery(2))
    fence = await queue.hold()
    (lease,) = (await queue.claim(fence)).leases
    await queue.settle(fence, Buried(id=lease.id, reason="too big"))
    assert await queue.claimed(fence) == [2]


async def test_a_redriven_dead_letter_goes_to_the_tail_with_no_attempts(queue: Harness) -> None:
    fence = await queue.hold()
    id_ = await bury(queue, fence)
    await queue.put(delivery(2))
    assert await queue.outbox.redrive(RADIO, [id_, DeliveryId("unknown")], now_ms=START) == (id_,)
    assert await queue.outbox.redrive(RADIO, [id_], now_ms=START) == ()
    _, redriven = (await queue.claim(fence, run=2)).leases
    assert (redriven.id, redriven.attempt, redriven.generation) == (id_, 1, 1)


async def test_a_redriven_dead_letter_does_not_expire_at_once(queue: Harness) -> None:
    fence = await queue.hold()
    id_ = await bury(queue, fence, expires_ms=START + 10)
    await queue.outbox.redrive(RADIO, [id_], now_ms=START + 10)
    (lease,) = (await queue.claim(fence, START + 10)).leases
    assert lease.delivery.expires_ms is None


async def test_a_dropped_dead_letter_is_forgotten(queue: Harness) -> None:
    fence = await queue.hold()
    id_ = await bury(queue, fence)
    assert await queue.outbox.drop(RADIO, [id_]) == (id_,)
    assert await queue.outbox.drop(RADIO, [id_]) == ()
    assert await queue.put(delivery(1)) == Stored(new=1, known=0)


async def test_the_oldest_dead_letters_beyond_the_quota_are_forgotten(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(*(delivery(n) for n in range(7)))
    for n in range(7):
        (lease,) = (await queue.claim(fence, START + n)).leases
        await queue.settle(fence, Buried(id=lease.id, reason="no"), now_ms=START + n)
    ids = [delivery(n).id for n in range(7)]
    assert await queue.outbox.drop(RADIO, ids) == tuple(ids[2:])


async def test_waiting_ones_can_be_cancelled_but_leased_ones_cannot(queue: Harness) -> None:
    await queue.put(*(delivery(n) for n in range(4)))
    fence = await queue.hold()
    await queue.claim(fence, run=2)
    ids = [delivery(n).id for n in range(4)]
    assert await queue.outbox.cancel(RADIO, [*ids[:3], DeliveryId("unknown")]) == (ids[2],)
    assert await queue.waiting() == 3


async def test_cancelling_the_last_one_empties_the_conversation(queue: Harness) -> None:
    await queue.put(delivery(1))
    assert await queue.outbox.cancel(RADIO, [delivery(1).id]) == (delivery(1).id,)
    assert await queue.outbox.depth([RADIO]) == ()
    assert await queue.put(delivery(1)) == Stored(new=1, known=0)


async def test_cancelling_a_backed_off_head_frees_what_follows(queue: Harness) -> None:
    await queue.put(delivery(1), delivery(2))
    fence = await queue.hold()
    (lease,) = (await queue.claim(fence)).leases
    await queue.settle(fence, Retry(id=lease.id, at_ms=START + 9999))
    await queue.outbox.cancel(RADIO, [lease.id])
    assert await queue.claimed(fence) == [2]


@pytest.mark.parametrize("which", [None, "a"])
async def test_due_now_ends_backing_off(queue: Harness, which: str | None) -> None:
    await queue.put(delivery(1, "a"), delivery(2, "b"))
    fence = await queue.hold()
    leases = (await queue.claim(fence)).leases
    await queue.settle(fence, *(Retry(id=lease.id, at_ms=START + 9999) for lease in leases))
    await queue.outbox.due_now(RADIO, which, now_ms=START + 5)
    assert await queue.claimed(fence, START + 5) == ([1] if which else [1, 2])


async def test_due_now_leaves_leases_alone(queue: Harness) -> None:
    await queue.put(delivery(1))
    fence = await queue.hold()
    await queue.claim(fence)
    await queue.outbox.due_now(RADIO, now_ms=START + 5)
    assert await queue.claimed(fence, START + 5) == []


async def test_depth_tells_what_waits_deepest_first(queue: Harness) -> None:
    await queue.put(
        delivery(1, "a"), delivery(2, "b"), delivery(3, "b"), *(delivery(n, "c", Lane.GUEST) for n in (4, 5, 6))
    )
    rows = await queue.outbox.depth([RADIO, HOME], limit=2)
    assert [(row.lane, row.conversation, row.waiting) for row in rows] == [("guest", "c", 3), ("normal", "b", 2)]
    assert rows[1].oldest_ms == delivery(2).message.received_ms


async def test_what_comes_out_is_what_was_put_in(queue: Harness) -> None:
    given = delivery(1, "grün;/\n:x", parts=3, part=2, expires_ms=START + 99, direct=True)
    await queue.put(given)
    (lease,) = (await queue.claim(await queue.hold())).leases
    assert lease.delivery == given
    assert lease.id == given.id


# --- clocks ----------------------------------------------------------------------------------------

YEAR = 365 * 24 * 3600 * 1000


@pytest.mark.parametrize("step", [YEAR, -YEAR])
async def test_all_that_is_scheduled_follows_a_stepped_clock(queue: Harness, step: int) -> None:
    fence = await queue.hold(ttl_ms=1000)
    (waiting,) = await awaiting(queue, fence, 70)
    await queue.put(delivery(1, "retried"), delivery(2, "leased"), delivery(3, "dying", expires_ms=START + 50))
    leases = {number(lease.delivery): lease for lease in (await queue.claim(fence)).leases}
    await queue.settle(fence, *(Retry(id=leases[n].id, at_ms=START + 30) for n in (1, 3)))

    queue.outbox.shift(step)
    now = START + step
    assert await queue.outbox.acquire(RADIO, "two", now_ms=now + 999, ttl_ms=1000) is None
    assert (await queue.claim(fence, now)).next_ms == now + 30
    assert await queue.claimed(fence, now + 29) == []
    first = await queue.claim(fence, now + 30, limit=1)
    assert first.leases[0].delivery.expires_ms in {None, now + 50}
    last = await queue.claim(fence, now + 50)
    assert sorted([*numbers(first), *numbers(last), *gone(*last.expired)]) == [1, 3]
    assert await queue.outbox.overdue(fence, now_ms=now + 69, keep=9) == ()
    assert [given.id for given in await queue.outbox.overdue(fence, now_ms=now + 70, keep=9)] == [waiting]


async def test_what_is_put_after_a_step_keeps_its_own_times(queue: Harness) -> None:
    fence = await queue.hold()
    queue.outbox.shift(YEAR)
    given = delivery(1, received_ms=START + YEAR, expires_ms=START + YEAR + 10)
    await queue.put(given)
    (lease,) = (await queue.claim(fence, START + YEAR + 9)).leases
    assert lease.delivery == given


# --- what only a server does -----------------------------------------------------------------------


@pytest.fixture
async def server(valkey: str) -> AsyncIterator[Harness]:
    async with RedisOutbox(valkey, community=uuid.uuid4().hex, quota=QUOTA) as outbox:
        yield Harness(outbox, QUOTA)


async def test_an_unreadable_entry_is_taken_off_told_and_can_be_put_again(server: Harness) -> None:
    assert isinstance(server.outbox, RedisOutbox)
    await server.put(delivery(1), delivery(2), delivery(3))
    client, keys = server.outbox._open(), server.outbox._keys.of(RADIO)
    raw = await client.execute_command("HGET", keys.all[2], delivery(1).id)
    await client.execute_command("HSET", keys.all[2], delivery(1).id, raw[:-9])
    await client.execute_command("HSET", keys.all[2], delivery(2).id, b"\xff nothing of ours")
    fence = await server.hold()
    claimed = await server.outbox.claim(fence, now_ms=START, visible_ms=60_000, limit=3, run=3)
    assert [lease.id for lease in claimed.leases] == [delivery(3).id]
    assert claimed.unreadable == 2
    assert await server.put(delivery(1), delivery(2)) == Stored(new=2, known=0)


async def test_direct_chats_that_an_older_release_queued_among_channels_keep_their_order(
    server: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queues outlive an upgrade: before direct chats had digits of their own they stood under 1 and 2."""

    def by_an_older_release(given: Delivery, skew: int) -> bytes:
        return b"1" + write_body(given, skew)[1:]

    old = [delivery(n, "!a1", direct=True) for n in range(2)]
    with monkeypatch.context() as older:
        older.setattr("gateway.outbox.redis.write_body", by_an_older_release)
        await server.put(*old)
    await server.put(delivery(2, "!a1", direct=True), delivery(3, "!b2", direct=True))

    fence = await server.hold()
    claimed = await server.claim(fence, run=9)
    assert numbers(claimed) == [3, 0, 1, 2]
    assert [lease.delivery.direct for lease in claimed.leases] == [True] * 4
    await server.settle(fence, *(Done(id=lease.id) for lease in claimed.leases))
    await server.put(delivery(4, "!a1", direct=True), delivery(5))
    assert await server.claimed(fence) == [4, 5]


async def test_a_full_server_refuses_puts_and_can_be_drained(server: Harness) -> None:
    assert isinstance(server.outbox, RedisOutbox)
    await server.put(*(delivery(n) for n in range(20)))
    fence = await server.hold()
    client = server.outbox._open()
    _, limit = await client.execute_command("CONFIG", "GET", "maxmemory")
    await client.execute_command("CONFIG", "SET", "maxmemory", 1024 * 1024)
    try:
        with pytest.raises(StoreUnavailable, match="out of memory"):
            await server.put(delivery(99))
        claimed = await server.claim(fence, run=20)
        assert len(claimed.leases) == 20
        await server.settle(fence, *(Done(id=lease.id) for lease in claimed.leases))
        assert await server.waiting() == 0
    finally:
        await client.execute_command("CONFIG", "SET", "maxmemory", limit)


async def test_a_restarted_server_is_told_the_scripts_again(server: Harness) -> None:
    assert isinstance(server.outbox, RedisOutbox)
    await server.put(delivery(1))
    await server.outbox._open().execute_command("SCRIPT", "FLUSH")
    assert await server.claimed(await server.hold()) == [1]


async def test_a_call_that_is_cancelled_ends_wherever_it_is(server: Harness) -> None:
    """Whoever works in a loop would go on for ever."""
    await server.put(delivery(1))
    for number in range(120):
        call = asyncio.ensure_future(server.outbox.cursor(RADIO, "box"))
        for _ in range(number % 30):
            await asyncio.sleep(0)
        is_done = call.done()
        call.cancel()
        await asyncio.wait([call])
        assert is_done or call.cancelled(), f"after {number % 30} turns"


async def test_without_a_server_every_call_says_so() -> None:
    async with RedisOutbox("unix:///nowhere/at/all.sock", community="x") as outbox:
        with pytest.raises(StoreUnavailable, match="can't be reached"):
            await outbox.ping()
        with pytest.raises(StoreUnavailable):
            await outbox.cursor(RADIO, "box")


@pytest.mark.parametrize("other", ["redis://host:port", "redis://host?colour=blue", "http://a", "nothing"])
def test_urls_that_make_no_sense_are_refused(other: str) -> None:
    with pytest.raises(StoreRefused, match="can't be used"):
        connect(other, key="any")


async def test_nothing_is_left_of_what_was_sent(server: Harness) -> None:
    """Sent, reported, expired and dropped ones leave no key behind but cursors, counters and fence."""
    assert isinstance(server.outbox, RedisOutbox)
    fence = await server.hold()
    id_ = await bury(server, fence)
    await server.outbox.drop(RADIO, [id_])
    (other,) = await awaiting(server, fence, 5)
    await server.outbox.report(fence, other)
    await server.put(delivery(6, expires_ms=START))
    await server.claim(fence)
    await server.claim(fence)
    left = sorted(key.decode().partition("}:")[2] for key in await server.remember())
    assert left == ["fence:radio", "skew", "src:box:radio", "stats:radio"]
    stats = await server.outbox._open().execute_command("HMGET", server.outbox._keys.of(RADIO).all[4], "n", "bytes")
    assert stats == [b"0", b"0"]


async def test_what_the_caller_has_at_hand_is_leased_all_the_same(queue: Harness) -> None:
    await queue.put(delivery(1), delivery(2))
    fence = await queue.hold()
    first = (await queue.claim(fence, limit=1)).leases[0]
    await queue.settle(fence, Retry(id=first.id, at_ms=START))

    claimed = await queue.outbox.claim(
        fence, now_ms=START, visible_ms=60_000, limit=9, run=9, at_hand={first.id: first.delivery}
    )

    assert numbers(claimed) == [1, 2]
    assert [lease.attempt for lease in claimed.leases] == [2, 1]


# --- shared by several boxes -----------------------------------------------------------------------


@pytest.fixture
async def shared(url: str | None) -> AsyncIterator[Harness]:
    if url is None:
        yield Harness(MemoryOutbox(QUOTA, shared=True), QUOTA)
        return
    async with RedisOutbox(url, community=uuid.uuid4().hex, quota=QUOTA, shared=True) as outbox:
        yield Harness(outbox, QUOTA)


def clock(ahead_ms: int = 0) -> Callable[[], int]:
    """A clock that stands at START, or ahead of that."""
    behind_ms = time.time_ns() // 1_000_000 - START - ahead_ms
    return lambda: time.time_ns() // 1_000_000 - behind_ms


async def test_what_one_box_has_sent_another_that_comes_late_adds_nothing(shared: Harness) -> None:
    await shared.put(delivery(1), delivery(2))
    fence = await shared.hold()
    (first,) = (await shared.claim(fence)).leases
    await shared.settle(fence, Done(id=first.id, remote_id=RemoteId("$one")))

    late = await shared.put(delivery(1), delivery(2), delivery(3), source="late box")

    assert late == Stored(new=1, known=2)
    assert await shared.outbox.fates(RADIO, [delivery(1).id, delivery(2).id]) == {
        first.id: Fate(state=State.SENT, detail="$one")
    }


async def test_each_fate_is_told_and_a_dead_letter_that_is_dropped_is_news_again(shared: Harness) -> None:
    await shared.put(*(delivery(n, f"room {n}") for n in range(5)), delivery(9, expires_ms=START))
    fence = await shared.hold()
    leases = (await shared.claim(fence)).leases
    heard, given_up, dead, waiting, _ = (lease.id for lease in leases)
    await shared.settle(
        fence,
        Done(id=heard, awaiting_until_ms=START + 5000, remote_id=RemoteId("77")),
        Done(id=given_up, awaiting_until_ms=START + 5),
        Buried(id=dead, reason="too; big"),
        Retry(id=waiting, at_ms=START + 5000),
    )
    assert await shared.outbox.fates(RADIO, [heard, given_up]) == {}
    assert await shared.outbox.report(fence, heard, State.HEARD)
    await shared.outbox.overdue(fence, now_ms=START + 6, keep=5)
    assert await shared.outbox.cancel(RADIO, [waiting]) == (waiting,)
    await shared.claim(fence)

    assert await shared.outbox.fates(RADIO, [lease.id for lease in leases] + [delivery(9).id]) == {
        heard: Fate(state=State.HEARD, detail="77"),
        given_up: Fate(state=State.SENT),
        dead: Fate(state=State.FAILED, detail="too; big"),
        waiting: Fate(state=State.CANCELLED),
        delivery(9).id: Fate(state=State.EXPIRED),
    }
    await shared.outbox.drop(RADIO, [dead])
    assert await shared.put(*(delivery(n, f"room {n}") for n in range(5))) == Stored(new=1, known=4)


async def test_who_holds_a_bridge_and_where_its_source_goes_on_is_told_to_all(shared: Harness) -> None:
    assert await shared.outbox.holder(RADIO, now_ms=START) == Holder()
    fence = await shared.hold("hill", ttl_ms=1000)
    await shared.outbox.mark(fence, ResumePoint("s1_2"))
    resume = ResumePoint("s1_2")

    held = Holder(owner="hill", resume=resume, marked_by="hill")
    assert await shared.outbox.holder(RADIO, now_ms=START + 999) == held
    assert await shared.outbox.holder(RADIO, now_ms=START + 1000) == Holder(resume=resume, marked_by="hill")

    await shared.outbox.renew(fence, now_ms=START, ttl_ms=0)  # as long as nobody else wants it
    assert (await shared.claim(fence)).leases == ()
    await shared.hold("lake")
    with pytest.raises(LeaseLost):
        await shared.outbox.mark(fence, ResumePoint("s3_4"))


async def test_who_asks_for_what_nobody_has_takes_it_from_no_one_who_is_there(queue: Harness) -> None:
    async def ask(now_ms: int) -> Fence | None:
        return await queue.outbox.acquire(RADIO, "lake", now_ms=now_ms, ttl_ms=0)

    fence = await queue.hold("hill", ttl_ms=0)
    assert await ask(START) is None
    await queue.outbox.renew(fence, now_ms=START + 50_000, ttl_ms=0)
    assert await ask(START + 109_999) is None
    assert await ask(START + 110_000) is not None
    await queue.hold("hill", now_ms=START + 110_000)  # but whoever reaches the network takes it


async def test_an_overdue_delivery_can_be_put_again_once_the_queue_was_told_to_forget_it(queue: Harness) -> None:
    fence = await queue.hold()
    (id_,) = await awaiting(queue, fence, 1)
    assert gone(*await queue.outbox.overdue(fence, now_ms=START + 10**9, keep=5)) == [1]

    assert await queue.outbox.drop(RADIO, [id_]) == (id_,)
    assert await queue.put(delivery(1)) == Stored(new=1, known=0)
    await queue.outbox.overdue(fence, now_ms=START + 10**9, keep=5)
    assert await queue.claimed(fence, START + 10**9) == [1]


async def test_boxes_with_clocks_hours_apart_agree_when_a_lease_ends(valkey: str) -> None:
    hours = 5 * 3_600_000
    community = uuid.uuid4().hex
    hill, lake = clock(), clock(ahead_ms=hours)
    async with (
        RedisOutbox(valkey, community=community, shared=True, now_ms=hill) as one,
        RedisOutbox(valkey, community=community, shared=True, now_ms=lake) as other,
    ):
        assert await one.acquire(RADIO, "hill", now_ms=hill(), ttl_ms=60_000)
        await Harness(one, QUOTA).put(delivery(1, received_ms=hill()))
        assert await other.acquire(RADIO, "lake", now_ms=lake(), ttl_ms=60_000) is None
        fence = await other.acquire(RADIO, "lake", now_ms=lake() + 61_000, ttl_ms=60_000)
        assert fence is not None
        claimed = await other.claim(fence, now_ms=lake(), visible_ms=60_000, limit=1, run=1)
        (lease,) = claimed.leases
        assert abs(lease.delivery.message.received_ms - lake()) < 5000


async def test_a_standby_whose_clock_runs_fast_takes_no_lease_that_is_held(valkey: str) -> None:
    community, fast_ms = uuid.uuid4().hex, [0]
    hill, base = clock(), clock()

    def lake() -> int:
        return base() + fast_ms[0]

    async with (
        RedisOutbox(valkey, community=community, shared=True, now_ms=hill) as one,
        RedisOutbox(valkey, community=community, shared=True, now_ms=lake) as other,
    ):
        assert await one.acquire(RADIO, "hill", now_ms=hill(), ttl_ms=15_000)
        assert await other.acquire(RADIO, "lake", now_ms=lake(), ttl_ms=15_000) is None
        fast_ms[0] = 20_000  # four days at 60 parts in a million
        await other.ping()
        assert await other.acquire(RADIO, "lake", now_ms=lake(), ttl_ms=15_000) is None


async def test_fates_are_forgotten_a_generation_at_a_time(valkey: str) -> None:
    days = 86_400_000
    async with RedisOutbox(valkey, community=uuid.uuid4().hex, quota=QUOTA, shared=True) as outbox:
        harness = Harness(outbox, QUOTA)
        for number, day in enumerate((0, 1, 8, 16)):
            await harness.put(delivery(number))
            fence = await harness.hold(now_ms=START + day * days)
            await harness.claim(fence, START + day * days)
            await harness.settle(fence, Done(id=delivery(number).id), now_ms=START + day * days)
        known = await outbox.fates(RADIO, [delivery(number).id for number in range(4)])
        assert list(known) == [delivery(2).id, delivery(3).id]


async def test_no_more_conversations_are_claimed_than_would_fill_the_limit(queue: Harness) -> None:
    """Whoever asks for two runs of 16 can send to two conversations at once, not to 32."""
    await queue.put(*(delivery(n, f"room {n % 5}") for n in range(10)))
    fence = await queue.hold()

    claimed = await queue.claim(fence, limit=32, run=16)

    assert [lease.delivery.to.conversation for lease in claimed.leases] == ["room 0", "room 0", "room 1", "room 1"]
    assert numbers(await queue.claim(fence, limit=48, run=16)) == [2, 7, 3, 8, 4, 9]


async def test_it_tells_what_it_has_wherever_that_is(queue: Harness) -> None:
    await queue.put(*(delivery(n, f"room {n}") for n in range(5)))
    fence = await queue.hold()
    leases = (await queue.claim(fence, limit=4)).leases
    await queue.settle(
        fence,
        Done(id=leases[0].id),
        Done(id=leases[1].id, awaiting_until_ms=START + 1000),
        Buried(id=leases[2].id, reason="refused"),
    )
    everyone = [delivery(n, f"room {n}").id for n in range(6)]

    assert await queue.outbox.has(RADIO, everyone) == frozenset(everyone[1:5])
    assert await queue.outbox.has(RADIO, []) == frozenset()


# --- looking, and taking one -----------------------------------------------------------------------


async def test_a_look_shows_the_head_of_each_due_conversation_as_a_claim_would_take_them(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(
        *(delivery(n, "town") for n in (0, 1)),
        delivery(2, "guests", Lane.GUEST),
        delivery(3, "!a1b2c301", direct=True),
        delivery(4, "hill", Lane.EMERGENCY),
        delivery(5, "hill", received_ms=START - 5000),
    )
    found = await queue.heads(fence)
    assert (shown(found), found.due, found.next_ms) == ([4, 3, 5, 0, 2], 5, None)
    assert found == await queue.heads(fence), "a look leases nothing"
    assert await queue.claimed(fence) == [4, 3, 5, 0, 2]
    assert shown(later := await queue.heads(fence)) == []
    assert later.next_ms == START + 60_000


async def test_the_one_that_is_taken_is_leased_and_no_other(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(*(delivery(n, "ab"[n % 2]) for n in range(4)))
    first, second = (await queue.heads(fence)).heads
    lease = await queue.take(fence, second)
    assert lease is not None
    assert (number(lease.delivery), lease.attempt, lease.until_ms) == (1, 1, START + 60_000)
    assert shown(await queue.heads(fence)) == [0]
    assert await queue.take(fence, second) is None, "it is leased"
    await queue.settle(fence, Done(id=lease.id))
    assert shown(await queue.heads(fence)) == [0, 3]
    assert await queue.claimed(fence) == [0, 3]
    assert await queue.take(fence, first) is None


async def test_what_is_no_longer_first_can_not_be_taken(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(delivery(0), delivery(1), delivery(2, "hill", expires_ms=START + 10))
    town, hill = (await queue.heads(fence)).heads
    await queue.outbox.cancel(RADIO, [town.id])
    assert await queue.take(fence, town) is None
    assert await queue.take(fence, hill, now_ms=START + 10) is None
    assert shown(await queue.heads(fence)) == [1, 2]


async def test_what_came_back_to_the_head_meanwhile_is_not_overtaken(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(delivery(0), delivery(1))
    (sent,) = await awaiting(queue, fence, 0)
    (head,) = (await queue.heads(fence)).heads
    assert await queue.outbox.requeue(fence, sent, at_ms=START, fresh_key=True)
    assert await queue.take(fence, head) is None
    assert shown(await queue.heads(fence)) == [0]


async def test_what_backs_off_is_neither_shown_nor_taken_before_it_is_due(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(delivery(0), delivery(1, "hill"))
    (town, _) = (await queue.heads(fence)).heads
    lease = await queue.take(fence, town)
    assert lease is not None
    await queue.settle(fence, Retry(id=lease.id, at_ms=START + 500, fresh_key=True))
    found = await queue.heads(fence)
    assert (shown(found), found.next_ms) == ([1], START + 500)
    assert await queue.take(fence, town) is None
    assert [(number(head.delivery), head.attempt) for head in (await queue.heads(fence, START + 500)).heads] == [
        (1, 1),
        (0, 2),
    ]
    again = await queue.take(fence, town, now_ms=START + 500)
    assert again is not None
    assert (again.attempt, again.generation) == (2, 1)


async def test_leases_that_were_taken_come_back_when_their_time_is_over(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(delivery(0))
    (head,) = (await queue.heads(fence)).heads
    await queue.take(fence, head)
    assert shown(await queue.heads(fence, START + 59_999)) == []
    assert shown(await queue.heads(fence, START + 60_000)) == [0]
    assert await queue.take(fence, head, now_ms=START + 60_000) is not None


async def test_a_look_takes_expired_ones_off_and_tells_until_its_holder_goes_on(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(delivery(0, expires_ms=START), delivery(1), delivery(2, lane=Lane.EMERGENCY, expires_ms=START))
    found = await queue.heads(fence)
    assert (shown(found), gone(*found.expired)) == ([2, 1], [0])
    assert await queue.waiting() == 2
    fence = await queue.hold("two", START + 20_000)
    assert gone(*(await queue.heads(fence, START + 20_000)).expired) == [0]
    assert (await queue.claim(fence, START + 20_000)).expired == ()


async def test_a_look_at_very_many_expired_ones_takes_five_hundred_off(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(*(delivery(n, expires_ms=START) for n in range(520)))
    assert len((await queue.heads(fence)).expired) == 500
    found = await queue.heads(fence)
    assert (len(found.expired), shown(found), await queue.waiting()) == (20, [], 0)


async def test_with_more_due_than_there_is_room_for_every_lane_and_conversation_has_its_turn(queue: Harness) -> None:
    fence = await queue.hold()
    await queue.put(*(delivery(n, f"channel {n:02}") for n in range(40)))
    await queue.put(*(delivery(n, f"guest {n}", Lane.GUEST) for n in range(40, 44)))
    await queue.put(delivery(44, "help", Lane.EMERGENCY))
    first = await queue.heads(fence, limit=16)
    assert (len(first.heads), first.due) == (16, 45)
    assert shown(first)[:1] == [44], "emergencies first"
    assert shown(first)[1:8] == list(range(7)), "half of the rest are those due longest"
    assert len([n for n in shown(first) if 40 <= n < 44]) == 2, "an eighth for each lane that needs it"
    seen: set[int] = set()
    for turn in range(8):
        seen |= set(shown(await queue.heads(fence, limit=16, turn=turn)))
    assert seen == set(range(45))


async def test_a_stale_fence_neither_looks_nor_takes(queue: Harness) -> None:
    old = await queue.hold()
    await queue.put(delivery(0))
    (head,) = (await queue.heads(old)).heads
    fence = await queue.hold("two", START + 15_000)
    with pytest.raises(LeaseLost):
        await queue.heads(old)
    with pytest.raises(LeaseLost):
        await queue.take(old, head)
    assert await queue.take(fence, head, now_ms=START + 15_000) is not None


@pytest.mark.parametrize("step", [-1_000_000_000, 1_000_000_000])
async def test_what_is_shown_and_taken_follows_a_stepped_clock(queue: Harness, step: int) -> None:
    fence = await queue.hold()
    await queue.put(delivery(0, expires_ms=START + 5000))
    queue.outbox.shift(step)
    found = await queue.heads(fence, START + step)
    (head,) = found.heads
    assert (head.delivery.expires_ms, head.delivery.message.received_ms) == (START + step + 5000, START + step - 1000)
    lease = await queue.take(fence, head, now_ms=START + step)
    assert lease is not None
    assert lease.delivery == head.delivery
    assert (await queue.heads(fence, START + step)).next_ms == START + step + 60_000


async def test_an_unreadable_entry_holds_nothing_back_from_a_look(server: Harness) -> None:
    fence = await server.hold()
    await server.put(delivery(0), delivery(1), delivery(2, "hill"), delivery(3, "hill"))
    redis = server.outbox
    assert isinstance(redis, RedisOutbox)
    body = redis._keys.of(RADIO).body
    header, _, _ = write_body(delivery(0), 0).partition(b"[")
    await redis._command("HSET", body, delivery(0).id, header + b"[99]")
    await redis._command("HSET", body, delivery(2, "hill").id, b"rubbish")
    found = await server.heads(fence)
    assert (shown(found), found.unreadable) == ([3], 2)
    assert shown(await server.heads(fence)) == [3, 1]
    assert (await server.waiting(), await server.put(delivery(0))) == (2, Stored(new=1, known=0))


async def test_a_direct_chat_that_an_older_release_queued_among_channels_is_taken_there(server: Harness) -> None:
    fence = await server.hold()
    redis = server.outbox
    assert isinstance(redis, RedisOutbox)
    await server.put(delivery(0, "!a1b2c301"))
    await server.put(delivery(1, "!a1b2c301", direct=True))
    (head,) = (await server.heads(fence)).heads
    lease = await server.take(fence, head)
    assert lease is not None
    await server.settle(fence, Done(id=lease.id))
    (head,) = (await server.heads(fence)).heads
    assert (number(head.delivery), head.delivery.direct, head.queue) == (1, True, 1)
    assert await server.take(fence, head) is not None
