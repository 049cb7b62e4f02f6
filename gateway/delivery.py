# SPDX-License-Identifier: GPL-3.0-or-later
"""Hops 4 to 6: lease, resolve, send, then journal the receipt and take it off its lane.

One `Sender` works one destination while it holds its fence. Up to `in_flight` conversations are sent
to at once; within one, strictly in order. Results are journalled before the queue forgets them, so a
crash between the two only repeats a send under the same key, and the journal is asked before every
send whether it was done already.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from gateway.backoff import GiveUp, Policy, TryAgain, delays
from gateway.intake import Observer
from gateway.journal import Change, Journal, Standing
from gateway.link import Link
from gateway.model import (
    API_ADDRESS,
    Address,
    Bridge,
    BridgeError,
    Clock,
    Delivery,
    DeliveryId,
    Edit,
    Foresees,
    JournalError,
    LeaseLost,
    LinkDown,
    Message,
    MessageId,
    NotThere,
    OutboxError,
    Reaction,
    Receipt,
    Redaction,
    Rejected,
    RemoteId,
    State,
    Unconfirmed,
    delivery_id,
    key_of,
)
from gateway.outbox.outbox import Buried, Done, Fence, Lease, Outbox, Outcome, Retry
from gateway.reports import Reports

log = structlog.get_logger()

LEASE_MS = 15_000
VISIBLE_MS = 10 * 60_000
"""Longer than any send may take; a dead holder's leases are due at once when its fence is taken over."""
SEND_TIMEOUT_S = 120.0
RUN = 16
"""How many of one conversation are claimed together, where several conversations may be in flight."""
POLL_S = 1.0
OVERDUE_EVERY_S = 5.0
DIRECT_ATTEMPTS = 3
"""A direct message on radio is put on the air this often at most; it may be seen twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of one lease: for the journal, then for the queue."""

    outcome: Outcome
    change: Change | None
    """None: the journal knows already."""


class Sender:
    """Delivers what is queued for one bridge."""

    def __init__(
        self,
        *,
        bridge: Bridge,
        link: Link,
        journal: Journal,
        outbox: Outbox,
        clock: Clock,
        owner: str,
        observer: Observer,
        random: random.Random,
        policy: Policy,
        is_direct: Callable[[Address], bool],
    ) -> None:
        self.bridge = bridge
        self.holds = False
        """Whether this gateway is the one that works this destination now."""
        self.put_count = 0
        """How often something new was queued."""
        self._foresees = bridge if isinstance(bridge, Foresees) else None
        self._link = link
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._owner = owner
        self._observer = observer
        self._random = random
        self._policy = policy
        self._woken = asyncio.Event()
        self._paused_until = 0.0
        self._pauses = self._new_pauses()
        self.reports = Reports(
            bridge.name,
            journal,
            outbox,
            clock=clock,
            random=random,
            is_direct=is_direct,
            changed=lambda change: observer.changed(bridge.name, change),
        )

    def wake(self) -> None:
        """Say that something new is queued."""
        self.put_count += 1
        self._woken.set()

    def look_again(self) -> None:
        """Say that what is queued may be due now."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver for ever: hold the destination's lease, work it, stand by when another has it."""
        while True:
            shift = Shift(self, await self.acquire())
            self.holds = True
            try:
                await shift.work()
            except* LeaseLost as lost:
                log.warning("lease_lost", destination=self.bridge.name, reason=str(lost.exceptions[0]))
            finally:
                self.holds = False
                self.reports.end_all()
                with suppress(OutboxError):
                    await self._outbox.resign(shift.fence)

    async def due_now(self) -> None:
        """The link is back: what was waiting for it need not wait longer."""
        self._paused_until = 0.0
        self._pauses = self._new_pauses()
        with suppress(OutboxError):
            await self._outbox.due_now(self.bridge.name, now_ms=self._clock.now_ms())
        self.wake()

    def _new_pauses(self) -> Iterator[float]:
        return delays(self._random, first_s=0.5, longest_s=self.bridge.capabilities.reconnect_within_s)

    async def acquire(self) -> Fence:
        """Wait until this destination is ours, anew if it was: what was leased before is due at once."""
        pauses = delays(self._random, first_s=0.1, longest_s=2.0)
        while True:
            try:
                fence = await self._outbox.acquire(
                    self.bridge.name, self._owner, now_ms=self._clock.now_ms(), ttl_ms=LEASE_MS
                )
            except OutboxError as error:
                log.debug("acquire_postponed", destination=self.bridge.name, reason=str(error))
                fence = None
            if fence is not None:
                return fence
            await self._clock.sleep(next(pauses))

    async def renew(self, fence: Fence) -> None:
        """Hold the destination longer; LeaseLost when another has it."""
        try:
            await self._outbox.renew(fence, now_ms=self._clock.now_ms(), ttl_ms=LEASE_MS)
        except LeaseLost:
            raise
        except OutboxError as error:
            log.debug("renew_postponed", destination=self.bridge.name, reason=str(error))

    def pause(self) -> None:
        """Stop claiming for a while: the network is down, and no message should pay for that."""
        self._paused_until = self._clock.monotonic() + next(self._pauses)

    async def may_claim(self) -> None:
        """Wait until the link is up and no pause is running."""
        await self._link.wait_up()
        wait_s = self._paused_until - self._clock.monotonic()
        if wait_s > 0:
            await self._clock.sleep(wait_s)

    async def rest(self, seconds: float) -> None:
        """Wait for something to do, or so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    # What a shift needs of its sender.

    async def claim(self, fence: Fence, room: int) -> tuple[Sequence[Lease], float]:
        """Lease what is due for up to `room` conversations; return also seconds until more is due."""
        run = RUN if self.bridge.capabilities.in_flight > 1 else 1
        now_ms = self._clock.now_ms()
        claimed = await self._outbox.claim(fence, now_ms=now_ms, visible_ms=VISIBLE_MS, limit=room * run, run=run)
        if claimed.expired:
            await self._journal.record([self._expired(delivery, now_ms) for delivery in claimed.expired])
        rest_s = POLL_S if claimed.next_ms is None else min(POLL_S, max(0.01, (claimed.next_ms - now_ms) / 1000))
        return claimed.leases, rest_s

    def _expired(self, delivery: Delivery, now_ms: int) -> Change:
        return Change(id=delivery.id, state=State.EXPIRED, reason="too old for this network", at_ms=now_ms)

    async def standings(self, leases: Sequence[Lease]) -> dict[DeliveryId, Standing]:
        """Return what the journal knows of them already."""
        return await self._journal.standings([lease.id for lease in leases])

    def begin(self, leases: Sequence[Lease]) -> None:
        """Note that these are about to be sent, and under which ids, where the network takes ours."""
        now_ms = self._clock.now_ms()
        foresees = self._foresees
        changes = [
            Change(
                id=lease.id,
                state=State.SENDING,
                at_ms=now_ms,
                generation=lease.generation,
                remote_id=foresees.foresee(key_of(lease.id, lease.generation)) if foresees else None,
            )
            for lease in leases
        ]
        self._journal.note(changes)
        for change in changes:
            self._observer.changed(self.bridge.name, change)

    async def record(self, changes: Sequence[Change]) -> None:
        """Journal what became of deliveries, however long the disk makes us wait."""
        pauses = delays(self._random, first_s=0.1, longest_s=5.0)
        while True:
            try:
                await self._journal.record(changes)
            except JournalError as error:
                log.error("receipt_postponed", destination=self.bridge.name, reason=str(error))  # noqa: TRY400
                await self._clock.sleep(next(pauses))
                continue
            for change in changes:
                self._observer.changed(self.bridge.name, change)
            return

    async def settle(self, fence: Fence, outcomes: Sequence[Outcome]) -> None:
        """Tell the queue, however long it is away; LeaseLost when it is another's by then."""
        pauses = delays(self._random, first_s=0.05, longest_s=1.0)
        while True:
            try:
                await self._outbox.settle(fence, outcomes, now_ms=self._clock.now_ms())
            except LeaseLost:
                raise
            except OutboxError as error:
                log.debug("settle_postponed", destination=self.bridge.name, reason=str(error))
                await self._clock.sleep(next(pauses))
                continue
            return

    async def overdue(self, fence: Fence) -> None:
        """Close the deliveries whose reports did not come in time."""
        keep = self.bridge.capabilities.awaiting
        late = await self._outbox.overdue(fence, now_ms=self._clock.now_ms(), keep=keep)
        reason = "the node itself did not acknowledge in time"
        now_ms = self._clock.now_ms()
        await self.record([Change(id=d.id, state=State.FAILED, reason=reason, at_ms=now_ms) for d in late if d.direct])

    async def resolve(self, delivery: Delivery) -> Message:
        """Put the destination's own ids in place of the origin's; Rejected if a relation has lost its target."""
        message = delivery.message
        if message.reply_to is not None:
            found = await self._counterpart(message, message.reply_to, delivery.to)
            message = replace(message, reply_to=found)
        content = message.content
        if isinstance(content, Reaction | Edit | Redaction):
            target = await self._counterpart(message, content.target, delivery.to)
            if target is None:
                raise Rejected(f"what this {content.kind} is about isn't known there")
            message = replace(message, content=replace(content, target=target))
        return message

    async def _counterpart(self, message: Message, id: RemoteId, to: Address) -> RemoteId | None:
        if message.origin != API_ADDRESS:
            return await self._journal.counterpart(message.origin, id, to)
        record = await self._journal.message(MessageId(id))
        if record is None or record.message.remote_id is None:
            return None
        return await self._journal.counterpart(record.message.origin, record.message.remote_id, to)

    async def send(self, lease: Lease) -> Settled:
        """Send one lease and say what became of it; never raises BridgeError."""
        delivery = lease.delivery
        if delivery.direct and lease.attempt > DIRECT_ATTEMPTS:
            return self._bury(lease, f"no acknowledgement after {DIRECT_ATTEMPTS} tries")
        try:
            message = await self.resolve(delivery)
            async with asyncio.timeout(SEND_TIMEOUT_S):
                receipt = await self.bridge.send(message, delivery.to, key=key_of(lease.id, lease.generation))
        except TimeoutError:
            return self._failed(lease, Unconfirmed("the network did not answer in time"))
        except BridgeError as error:
            return self._failed(lease, error)
        except Exception:
            # A defect in a bridge must not take every other conversation down with this message.
            log.exception("bridge_defect", destination=self.bridge.name, delivery=delivery.id)
            return self._failed(lease, Unconfirmed("a defect in the bridge; the log has its trace"))
        self._pauses = self._new_pauses()
        return self._sent(lease, receipt)

    def _sent(self, lease: Lease, receipt: Receipt) -> Settled:
        now_ms = self._clock.now_ms()
        self._observer.sent(self.bridge.name, (now_ms - lease.delivery.message.received_ms) / 1000)
        until = None if receipt.more_within_s is None else now_ms + round(receipt.more_within_s * 1000)
        change = Change(
            id=lease.id,
            state=State(receipt.certainty.value),
            remote_id=receipt.remote_id,
            generation=lease.generation,
            at_ms=now_ms,
        )
        return Settled(outcome=Done(id=lease.id, awaiting_until_ms=until), change=change)

    def _failed(self, lease: Lease, error: BridgeError) -> Settled:
        if isinstance(error, LinkDown):
            self.pause()
        decision = self._policy.after(error, attempt=lease.attempt, random=self._random)
        log.info(
            "delivery_put_off" if isinstance(decision, TryAgain) else "delivery_failed",
            destination=self.bridge.name,
            delivery=lease.id,
            attempt=lease.attempt,
            reason=str(error),
        )
        if isinstance(decision, GiveUp):
            return self._bury(lease, decision.reason)
        now_ms = self._clock.now_ms()
        state = State.WAITING if isinstance(error, LinkDown | NotThere) else State.QUEUED
        retry = Retry(
            id=lease.id,
            at_ms=now_ms + round(decision.after_s * 1000),
            counted=decision.counted,
            fresh_key=decision.fresh_key,
        )
        return Settled(outcome=retry, change=Change(id=retry.id, state=state, reason=str(error), at_ms=now_ms))

    def _bury(self, lease: Lease, reason: str) -> Settled:
        ident = lease.id
        change = Change(id=ident, state=State.FAILED, reason=reason, at_ms=self._clock.now_ms())
        return Settled(outcome=Buried(id=ident, reason=reason), change=change)

    def cancelled(self, ident: DeliveryId) -> Change:
        """Return the change for a part that is not sent any more."""
        reason = "an earlier part failed"
        return Change(id=ident, state=State.CANCELLED, reason=reason, at_ms=self._clock.now_ms())

    async def cancel_later_parts(self, delivery: Delivery) -> None:
        """Take the parts after this one off the queue; those leased now are dropped before they are sent."""
        later = later_parts(delivery)
        with suppress(OutboxError):
            await self._outbox.cancel(self.bridge.name, later)
        await self.record([self.cancelled(ident) for ident in later])


def later_parts(delivery: Delivery) -> tuple[DeliveryId, ...]:
    """Return the ids of the parts that follow this one."""
    message = delivery.message.id
    return tuple(delivery_id(message, delivery.to, part) for part in range(delivery.part + 1, delivery.parts + 1))


class Shift:
    """The work on one destination while it is ours; it ends only by LeaseLost or cancellation."""

    def __init__(self, sender: Sender, fence: Fence) -> None:
        self.fence = fence
        self._sender = sender
        self._settled: list[Settled] = []
        self._news = asyncio.Event()
        self._flushed = asyncio.Condition()
        self._put_count = 0
        self._flushed_count = 0
        self._active = 0
        self._behind = False
        """Whether more may wait in a conversation that is being settled: then a claim must follow."""

    async def work(self) -> None:
        """Claim, send and settle until the fence is lost."""
        name = self._sender.bridge.name
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew(), name=f"renew {name}")
            group.create_task(self._flush(), name=f"settle {name}")
            group.create_task(self._watch_awaiting(), name=f"awaiting {name}")
            group.create_task(self._sender.reports.run(lambda: self.fence), name=f"reports {name}")
            await self._claim(group)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_MS / 3000)
            await self._sender.renew(self.fence)

    async def _claim(self, group: asyncio.TaskGroup) -> None:
        width = max(1, self._sender.bridge.capabilities.in_flight)
        while True:
            await self._sender.may_claim()
            room = width - self._active
            if room <= 0:
                await self._sender.rest(POLL_S)
                continue
            puts = self._sender.put_count
            try:
                leases, rest_s = await self._sender.claim(self.fence, room)
                known = await self._sender.standings(leases) if leases else {}
            except LeaseLost:
                raise
            except (OutboxError, JournalError) as error:
                log.debug("claim_postponed", destination=self._sender.bridge.name, reason=str(error))
                await self._start_over()
                continue
            for run in _by_conversation(leases):
                self._active += 1
                group.create_task(self._send_run(run, known, puts), name=f"run {self._sender.bridge.name}")
            if len(leases) < room:
                await self._sender.rest(rest_s)

    async def _start_over(self) -> None:
        """Acquire anew after a claim whose answer may be lost, or else what it leased stays hidden."""
        while self._active:
            await self._sender.rest(POLL_S)
        await self._all_flushed()
        self.fence = await self._sender.acquire()

    async def _send_run(self, run: Sequence[Lease], known: dict[DeliveryId, Standing], puts: int) -> None:
        """Send a run in order. `puts`: how much had been queued when it was claimed."""
        self._sender.begin([lease for lease in run if not _is_over(known.get(lease.id))])
        broken: set[str] = set()
        try:
            for lease in run:
                if _is_over(known.get(lease.id)):
                    # Sent before the queue forgot that it was.
                    self._put_by(Settled(outcome=Done(id=lease.id), change=None))
                elif lease.delivery.message.id in broken:
                    change = self._sender.cancelled(lease.id)
                    self._put_by(Settled(outcome=Done(id=lease.id), change=change))
                elif not await self._send_one(lease, broken):
                    return
        finally:
            self._active -= 1
            self._behind |= len(run) >= RUN or puts != self._sender.put_count
            if self._active == self._sender.bridge.capabilities.in_flight - 1:
                self._sender.look_again()

    async def _send_one(self, lease: Lease, broken: set[str]) -> bool:
        """Send one; False if the rest of its conversation must wait."""
        delivery = lease.delivery
        if _refers(delivery.message):
            # What it refers to may have been sent a moment ago: its receipt must be in the journal.
            await self._all_flushed()
        self._sender.reports.begin(delivery.id)
        settled = await self._sender.send(lease)
        self._put_by(settled)
        if isinstance(settled.outcome, Buried) and delivery.part < delivery.parts:
            broken.add(delivery.message.id)
            await self._sender.cancel_later_parts(delivery)
        return not isinstance(settled.outcome, Retry)

    def _put_by(self, settled: Settled) -> None:
        self._settled.append(settled)
        self._put_count += 1
        self._news.set()

    async def _flush(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            batch, self._settled = self._settled, []
            behind, self._behind = self._behind, False
            if not batch:
                continue
            await self._sender.record([settled.change for settled in batch if settled.change is not None])
            await self._sender.settle(self.fence, [settled.outcome for settled in batch])
            self._sender.reports.end(settled.outcome.id for settled in batch)
            async with self._flushed:
                self._flushed_count += len(batch)
                self._flushed.notify_all()
            self._look_again(batch, behind=behind)

    def _look_again(self, batch: Sequence[Settled], *, behind: bool) -> None:
        width = self._sender.bridge.capabilities.in_flight
        if behind or width == 1 or any(isinstance(settled.outcome, Retry) for settled in batch):
            self._sender.look_again()

    async def _all_flushed(self) -> None:
        """Wait until every receipt up to now is in the journal."""
        put = self._put_count
        async with self._flushed:
            await self._flushed.wait_for(lambda: self._flushed_count >= put)

    async def _watch_awaiting(self) -> None:
        while True:
            await asyncio.sleep(OVERDUE_EVERY_S)
            try:
                await self._sender.overdue(self.fence)
            except LeaseLost:
                raise
            except OutboxError as error:
                log.debug("overdue_postponed", destination=self._sender.bridge.name, reason=str(error))


def _by_conversation(leases: Sequence[Lease]) -> list[list[Lease]]:
    runs: dict[tuple[str, str], list[Lease]] = {}
    for lease in leases:
        runs.setdefault((lease.delivery.lane, lease.delivery.to.conversation), []).append(lease)
    return list(runs.values())


def _refers(message: Message) -> bool:
    return message.reply_to is not None or isinstance(message.content, Reaction | Edit | Redaction)


def _is_over(standing: Standing | None) -> bool:
    return standing is not None and not standing.state.is_pending
