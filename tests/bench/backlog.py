# SPDX-License-Identifier: GPL-3.0-or-later
"""A million messages of 200 bytes in the queue: what each takes, how fast they move, how soon they are back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.model import Address, BridgeName, Delivery, Message, NativeId, Sender, SenderId, Text
from gateway.outbox.embedded import EmbeddedServer
from gateway.outbox.outbox import Done, Fence, Quota
from gateway.outbox.redis import RedisOutbox
from tests.bench.talk import percentile

MESSAGES = 1_000_000
CONVERSATIONS = 200
BODY = "x" * 200
BATCH = 256
SAMPLES = 1500
FAR = BridgeName("radio")
VISIBLE_MS = 60_000


def deliveries() -> Iterator[Delivery]:
    now_ms = time.time_ns() // 1_000_000
    for number in range(MESSAGES):
        message = Message(
            native_id=NativeId(f"mx:$event-id-of-the-usual-length-{number:014}"),
            origin=Address(BridgeName("home"), "!room-id-of-a-usual-length-for-v12-rooms-00"),
            sender=Sender(id=SenderId("@someone:example.org"), name="Someone"),
            content=Text(body=BODY),
            received_ms=now_ms,
        )
        yield Delivery(message=message, to=Address(FAR, f"channel {number % CONVERSATIONS}"))


async def backlog(folder: Path) -> dict[str, float]:
    """Bytes a message in the server's memory, 99th percentile of a claim and of an acknowledgement, seconds to be back.

    The append-only file is at its worst: nothing of it was ever rewritten.
    """
    server = EmbeddedServer(folder / "queue", run_dir=folder / "run", maxmemory_bytes=2 * 1024**3)
    quota = Quota(deliveries=2 * MESSAGES, size_bytes=2 * 1024**3)
    async with (
        server,
        RedisOutbox(server.url, community="bench", quota=quota) as outbox,
        asyncio.TaskGroup() as group,
    ):
        running = group.create_task(server.run())
        await server.ready.wait()
        await outbox._command("CONFIG", "SET", "auto-aof-rewrite-percentage", 0)
        empty = await _used_bytes(outbox)
        await _fill(outbox)
        each = (await _used_bytes(outbox) - empty) / MESSAGES
        claim_ms = await _claims(outbox)
        back_s = await _killed(outbox)
        running.cancel()
    return {"queued_bytes": each, "claim_p99_ms": claim_ms, "reload_1m_s": back_s}


async def _used_bytes(outbox: RedisOutbox) -> int:
    return int((await outbox._command("INFO", "memory"))["used_memory"])


async def _fill(outbox: RedisOutbox) -> None:
    batch: list[Delivery] = []
    put = 0
    for delivery in deliveries():
        batch.append(delivery)
        if len(batch) == BATCH or put + len(batch) == MESSAGES:
            await outbox.put(FAR, "bench", after=put, upto=put + len(batch), deliveries=batch)
            put += len(batch)
            batch = []


async def _hold(outbox: RedisOutbox) -> Fence:
    fence = await outbox.acquire(FAR, "bench", now_ms=time.time_ns() // 1_000_000, ttl_ms=3_600_000)
    assert fence is not None
    return fence


async def _claims(outbox: RedisOutbox) -> float:
    """Return the 99th percentile, in milliseconds, of claiming one and of acknowledging it, each by itself."""
    fence = await _hold(outbox)
    took: list[float] = []
    for _ in range(SAMPLES):
        now_ms = time.time_ns() // 1_000_000
        began = time.perf_counter()
        claimed = await outbox.claim(fence, now_ms=now_ms, visible_ms=VISIBLE_MS, limit=1, run=1)
        between = time.perf_counter()
        await outbox.settle(fence, [Done(id=lease.id) for lease in claimed.leases], now_ms=now_ms)
        took += (1000 * (between - began), 1000 * (time.perf_counter() - between))
        assert len(claimed.leases) == 1
    return percentile(took, 99)


async def _killed(outbox: RedisOutbox) -> float:
    """Return the seconds from kill -9 until a claim is answered again."""
    pid = int((await outbox._command("INFO", "server"))["process_id"])
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    while True:
        try:
            fence = await _hold(outbox)
            now_ms = time.time_ns() // 1_000_000
            claimed = await outbox.claim(fence, now_ms=now_ms, visible_ms=VISIBLE_MS, limit=1, run=1)
        except Exception:  # noqa: BLE001 - it isn't back yet
            await asyncio.sleep(0.02)
            continue
        assert len(claimed.leases) == 1
        return time.perf_counter() - began
