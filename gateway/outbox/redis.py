# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox on Redis >= 7.0 or Valkey >= 7.2: every step is one script, `common.lua` has the layout.

Nothing is retried here: every call is idempotent, and the caller knows how long to wait.

The queue has a time of its own, which only goes on. What our clock differs by (see `queue_time`) is
taken off before the server is asked: a clock that is set moves nothing there, and gateways whose clocks
differ share a queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import redis.exceptions as theirs
import structlog
from redis.exceptions import NoScriptError

from gateway.model import BridgeName, Delivery, DeliveryId, ResumePoint, State, StoreUnavailable
from gateway.outbox.outbox import (
    EXPIRED_PER_CLAIM,
    NONE_AGAIN,
    NONE_AT_HAND,
    Claimed,
    Depth,
    Fate,
    Fence,
    Full,
    Gap,
    Head,
    Heads,
    Holder,
    Lease,
    Outcome,
    Quota,
    Stored,
)
from gateway.outbox.queue_keys import QueueKeys
from gateway.outbox.queue_time import QueueTime
from gateway.outbox.records import (
    LETTERS,
    Place,
    place_of,
    read_depths,
    read_fates,
    read_heads,
    read_ids,
    read_leases,
    read_pairs,
    write_body,
    write_outcome,
)
from gateway.outbox.redis_client import Client, connect
from gateway.outbox.redis_errors import CAUGHT, is_of_lost_connection, outbox_error
from gateway.outbox.redis_server import Engine, vet
from gateway.outbox.redis_url import Way, read
from gateway.outbox.scripts import load_scripts

log = structlog.get_logger()

_CANCELLED_AT_ONCE: Final = 100


class RedisOutbox:
    """An `Outbox` on one Redis or Valkey server. An async context manager; opening it needs no server."""

    def __init__(
        self,
        server: str | Callable[[], Client],
        *,
        community: str,
        quota: Quota | None = None,
        now_ms: Callable[[], int] | None = None,
        shared: bool = False,
        password_file: Path | None = None,
    ) -> None:
        """Use the server at a url, or what the factory connects to, under the keys of one community.

        `now_ms`: our clock, which may differ from the one this queue was last used by; None: it doesn't.
        `shared`: other boxes use the queue too, so it remembers for them what has left it.
        """
        self._server = server
        self._password_file = password_file
        self._way = Way.PLAIN
        self._keys = QueueKeys(community, shared=shared)
        self._quota = quota or Quota()
        self._scripts = load_scripts()
        self._time = QueueTime(now_ms, shared=shared, anchor=self._anchor)
        self._expired: dict[Fence, list[str]] = {}
        self._overdue: dict[Fence, list[str]] = {}
        self._client: Client | None = None
        self.vetted: Engine | None = None
        """Which server answered last, once it was found fit."""
        self.unreadable = 0
        """How many entries were buried or dropped because they couldn't be read."""

    async def __aenter__(self) -> Self:
        server = self._server
        if isinstance(server, str):
            self._client = connect(server, key=self._keys.skew, password_file=self._password_file)
            self._way = read(server).way
        else:
            self._client = server()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def ping(self) -> None:
        """Raise StoreUnavailable or StoreRefused unless the queue can be used."""
        await self.engine()

    async def engine(self) -> Engine:
        """Return which server this is, once it was found fit for a queue; else raise as `ping` does."""
        try:
            self.vetted = vet(await self._command("INFO"), self._way)
        except StoreUnavailable:
            await self._open().aclose()  # it opens again: where the Sentinels or the Cluster say by then
            raise
        await self._time.keep_step()
        return self.vetted

    async def cursor(self, destination: BridgeName, source: str) -> int:
        """See `Outbox.cursor`."""
        return int(await self._command("GET", self._keys.source(destination, source)) or 0)

    async def put(
        self,
        destination: BridgeName,
        source: str,
        *,
        after: int,
        upto: int,
        deliveries: Sequence[Delivery],
        generations: Mapping[DeliveryId, int] = NONE_AGAIN,
    ) -> Stored | Gap | Full:
        """See `Outbox.put`."""
        await self._time.agree()
        again = " ".join(f"{one};{generation}" for one, generation in generations.items())
        args: list[Any] = [after, upto, self._quota.deliveries, self._quota.size_bytes, again]
        for delivery in deliveries:
            args += (delivery.id, write_body(delivery, self._time.skew))
        verdict, first, *rest = await self._run("put", destination, *args, extra=self._keys.source(destination, source))
        if verdict == 1:
            return Gap(cursor=first)
        if verdict == 2:  # noqa: PLR2004 - the three verdicts are named in put.lua
            return Full(deliveries=first, size_bytes=rest[0])
        return Stored(new=first, known=rest[0])

    async def acquire(self, destination: BridgeName, owner: str, *, now_ms: int, ttl_ms: int) -> Fence | None:
        """See `Outbox.acquire`."""
        await self._time.agree()
        epoch = await self._run("acquire", destination, owner, now_ms - self._time.skew, ttl_ms)
        if epoch is None:
            return None
        for kept in (self._expired, self._overdue):
            for fence in [fence for fence in kept if fence.destination == destination]:
                del kept[fence]
        return Fence(destination=destination, owner=owner, epoch=epoch)

    async def renew(self, fence: Fence, *, now_ms: int, ttl_ms: int) -> None:
        """See `Outbox.renew`."""
        behind_ms = int(await self._fenced("renew", fence, now_ms - self._time.skew, ttl_ms))
        self._time.catch_up(behind_ms)

    async def holder(self, destination: BridgeName, *, now_ms: int) -> Holder:
        """See `Outbox.holder`."""
        await self._time.agree()
        owner, resume, by = map(bytes.decode, await self._run("holder", destination, now_ms - self._time.skew))
        return Holder(owner=owner, resume=ResumePoint(resume) if resume else None, marked_by=by)

    async def mark(self, fence: Fence, resume: ResumePoint) -> None:
        """See `Outbox.mark`."""
        await self._fenced("mark", fence, resume)

    async def fates(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> dict[DeliveryId, Fate]:
        """See `Outbox.fates`."""
        return read_fates(await self._run("fates", destination, *ids)) if self._keys.shared and ids else {}

    async def resign(self, fence: Fence) -> None:
        """See `Outbox.resign`."""
        expired, overdue = self._expired.get(fence, []), self._overdue.get(fence, [])
        await self._fenced("resign", fence, *expired, "", *overdue)
        self._expired.pop(fence, None)
        self._overdue.pop(fence, None)

    async def claim(
        self,
        fence: Fence,
        *,
        now_ms: int,
        visible_ms: int,
        limit: int,
        run: int,
        at_hand: Mapping[DeliveryId, Delivery] = NONE_AT_HAND,
    ) -> Claimed:
        """See `Outbox.claim`. What can't be read is taken off, so that it holds nothing back."""
        got = self._expired.get(fence, [])
        now = now_ms - self._time.skew
        answer = await self._fenced("claim", fence, now, visible_ms, limit, run, EXPIRED_PER_CLAIM, *got)
        skew, next_due, lost, flat, gone = answer
        skew += self._time.skew
        leases, unreadable = read_leases(flat, skew, now_ms + visible_ms, at_hand)
        expired = list(read_pairs(gone, skew))
        self._expired[fence] = [id_ for id_, _ in expired]
        readable = tuple(delivery for _, delivery in expired if delivery is not None)
        self._say_unreadable(fence.destination, lost + len(unreadable) + len(expired) - len(readable))
        if unreadable:
            await self._settle(fence, [f"l;{id_}" for id_ in unreadable], now_ms)
        spoilt = lost + len(unreadable)
        return Claimed(
            leases=leases, expired=readable, unreadable=spoilt, next_ms=None if next_due is None else next_due + skew
        )

    async def heads(self, fence: Fence, *, now_ms: int, limit: int, turn: int = 0) -> Heads:
        """See `Outbox.heads`."""
        got = self._expired.get(fence, [])
        now = now_ms - self._time.skew
        answer = await self._fenced("heads", fence, now, limit, turn, EXPIRED_PER_CLAIM, *got)
        skew, next_due, lost, due, flat, gone = answer
        skew += self._time.skew
        heads, unreadable = read_heads(flat, skew)
        expired = list(read_pairs(gone, skew))
        self._expired[fence] = [id_ for id_, _ in expired]
        readable = tuple(delivery for _, delivery in expired if delivery is not None)
        self._say_unreadable(fence.destination, lost + len(unreadable) + len(expired) - len(readable))
        for place in unreadable:
            if await self._take(fence, place, now, 0):
                await self._settle(fence, [f"l;{place[2]}"], now_ms)
        next_ms = None if next_due is None else next_due + skew
        spoilt = lost + len(unreadable)
        return Heads(heads=heads, due=due, expired=readable, unreadable=spoilt, next_ms=next_ms)

    async def take(self, fence: Fence, head: Head, *, now_ms: int, visible_ms: int) -> Lease | None:
        """See `Outbox.take`."""
        answer = await self._take(fence, place_of(head), now_ms - self._time.skew, visible_ms)
        if answer is None:
            return None
        skew, *flat = answer
        leases, _ = read_leases(flat, skew + self._time.skew, now_ms + visible_ms, NONE_AT_HAND)
        return leases[0] if leases else None

    async def _take(self, fence: Fence, place: Place, now: int, visible_ms: int) -> Any:
        return await self._fenced("take", fence, now, visible_ms, *place)

    async def settle(self, fence: Fence, outcomes: Sequence[Outcome], *, now_ms: int) -> None:
        """See `Outbox.settle`."""
        if outcomes:
            told = [write_outcome(outcome, self._time.skew) for outcome in outcomes]
            await self._settle(fence, told, now_ms)

    async def _settle(self, fence: Fence, outcomes: Iterable[str], now_ms: int) -> None:
        await self._fenced("settle", fence, now_ms - self._time.skew, self._quota.dead_letters, *outcomes)

    async def report(self, fence: Fence, id: DeliveryId, state: State = State.SENT) -> bool:
        """See `Outbox.report`."""
        return bool(await self._fenced("report", fence, id, LETTERS[state]))

    async def requeue(self, fence: Fence, id: DeliveryId, *, at_ms: int, fresh_key: bool) -> bool:
        """See `Outbox.requeue`."""
        return bool(await self._fenced("requeue", fence, id, at_ms - self._time.skew, "f" if fresh_key else ""))

    async def overdue(self, fence: Fence, *, now_ms: int, keep: int) -> tuple[Delivery, ...]:
        """See `Outbox.overdue`."""
        got = self._overdue.get(fence, [])
        now = now_ms - self._time.skew
        skew, flat = await self._fenced("overdue", fence, now, keep, EXPIRED_PER_CLAIM, *got)
        late = list(read_pairs(flat, skew + self._time.skew))
        self._overdue[fence] = [id_ for id_, _ in late]
        readable = tuple(delivery for _, delivery in late if delivery is not None)
        self._say_unreadable(fence.destination, len(late) - len(readable))
        return readable

    async def cancel(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """See `Outbox.cancel`. In slices: each id may cost a walk through its conversation."""
        taken: tuple[DeliveryId, ...] = ()
        for start in range(0, len(ids), _CANCELLED_AT_ONCE):
            taken += read_ids(await self._run("cancel", destination, *ids[start : start + _CANCELLED_AT_ONCE]))
        return taken

    async def redrive(
        self, destination: BridgeName, ids: Sequence[DeliveryId], *, now_ms: int
    ) -> tuple[DeliveryId, ...]:
        """See `Outbox.redrive`."""
        await self._time.agree()
        return read_ids(await self._run("redrive", destination, now_ms - self._time.skew, *ids))

    async def drop(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """See `Outbox.drop`."""
        return read_ids(await self._run("drop", destination, *ids))

    async def due_now(self, destination: BridgeName, conversation: str | None = None, *, now_ms: int) -> None:
        """See `Outbox.due_now`."""
        await self._time.agree()
        which = () if conversation is None else (conversation.encode("utf-8", "replace"),)
        await self._run("due_now", destination, now_ms - self._time.skew, *which)

    async def has(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> frozenset[DeliveryId]:
        """See `Outbox.has`."""
        bodies = await self._command("HMGET", self._keys.of(destination).body, *ids) if ids else []
        return frozenset(id_ for id_, body in zip(ids, bodies, strict=True) if body is not None)

    async def depth(self, destinations: Sequence[BridgeName], *, limit: int = 1000) -> tuple[Depth, ...]:
        """See `Outbox.depth`."""
        await self._time.agree()
        rows: list[Depth] = []
        for destination in destinations:
            rows += read_depths(destination, await self._run("depth", destination, limit), self._time.skew)
        rows.sort(key=lambda row: -row.waiting)
        return tuple(rows[:limit])

    def shift(self, delta_ms: int) -> None:
        """See `Outbox.shift`."""
        self._time.shift(delta_ms)

    async def _anchor(self) -> Any:
        return await self._evaluate("anchor", (self._keys.skew,), ())

    async def _fenced(self, name: str, fence: Fence, *args: Any) -> Any:
        return await self._run(name, fence.destination, fence.owner, fence.epoch, *args)

    async def _run(self, name: str, destination: str, *args: Any, extra: str | None = None) -> Any:
        keys = self._keys.of(destination)
        return await self._evaluate(name, (*keys.all, extra) if extra else keys.all, (keys.stem, *args))

    async def _evaluate(self, name: str, keys: tuple[str, ...], args: tuple[Any, ...]) -> Any:
        script = self._scripts[name]
        try:
            return await self._send("EVALSHA", script.sha, len(keys), *keys, *args)
        except NoScriptError:  # a server that was restarted: tell it the script again
            return await self._command("EVAL", script.text, len(keys), *keys, *args)
        except CAUGHT as error:
            raise outbox_error(error) from error

    async def _command(self, *command: Any) -> Any:
        try:
            return await self._send(*command)
        except CAUGHT as error:
            raise outbox_error(error) from error

    async def _send(self, *command: Any) -> Any:
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        try:
            return await self._open().execute_command(*command)
        except AttributeError as error:
            if not is_of_lost_connection(error):
                raise
            raise theirs.ConnectionError("the connection was lost while it was made") from error
        finally:
            if task and task.cancelling() > cancelled:
                # Before Python 3.12 asyncio.wait_for, with which redis-py sends, may lose a cancellation.
                raise asyncio.CancelledError

    def _open(self) -> Client:
        if self._client is None:
            raise StoreUnavailable("the queue is closed")
        return self._client

    def _say_unreadable(self, destination: str, count: int) -> None:
        if count:
            self.unreadable += count
            log.error("queue_entries_unreadable", bridge=destination, count=count)
