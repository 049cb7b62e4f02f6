# SPDX-License-Identifier: GPL-3.0-or-later
"""Hops 4 to 6: lease, send, then journal the receipt and take it off its lane.

A destination is worked while its fence is held. Up to `in_flight` conversations are sent to at once;
within one, strictly in order. Results are journalled before the queue forgets them, so a crash between
the two only repeats a send under the same key, and the journal is asked before every send whether it
was done already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from gateway.choosing import POLL_S
from gateway.holding import LEASE_MS
from gateway.lookup import Known
from gateway.model import Bridge, Edit, JournalError, Lane, LeaseLost, Message, OutboxError, Reaction, Redaction
from gateway.outbox.outbox import Buried, Done, Fence, Lease, Retry
from gateway.outcomes import Settled
from gateway.sender import JOURNAL_AGAIN_S, Sender

log = structlog.get_logger()

RUN = 16
"""How many of one conversation are claimed together, where several conversations may be in flight."""
RUN_S = 300.0
"""A run that has taken this long gives the rest back, well before it would count as abandoned."""
OVERDUE_EVERY_S = 5.0


def run_of(bridge: Bridge) -> int:
    """Return how many of one conversation may be in hand at once."""
    return RUN if bridge.capabilities.in_flight > 1 else 1


async def deliver(sender: Sender) -> None:
    """Deliver for ever: hold the destination's lease, work it, stand by when another has it."""
    while True:
        shift = Shift(sender, await sender.holding.acquire())
        sender.holds = True
        try:
            await shift.work()
        except* LeaseLost as lost:
            log.warning("lease_lost", destination=sender.bridge.name, reason=str(lost.exceptions[0]))
        finally:
            sender.holds = False
            sender.end_all()
            await sender.holding.resign(shift.fence)
        if (task := asyncio.current_task()) and task.cancelling():
            # A group that is ending already for a lost lease drops a cancellation that comes meanwhile.
            raise asyncio.CancelledError


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
            group.create_task(self._sender.unanswered.watch(), name=f"unanswered {name}")
            group.create_task(self._sender.reports.run(lambda: self.fence), name=f"reports {name}")
            if self._sender.bookmark is not None:
                group.create_task(self._sender.bookmark.run(lambda: self.fence), name=f"bookmark {name}")
            await self._claim(group)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_MS / 3000)
            await self._sender.holding.renew(self.fence)

    async def _claim(self, group: asyncio.TaskGroup) -> None:
        width = max(1, self._sender.bridge.capabilities.in_flight)
        while True:
            try:
                await self._sender.may_claim(self.fence)
                is_probe = self._sender.gate.is_probing
                room = min(1, width - self._active) if is_probe else width - self._active
                if room <= 0:
                    await self._sender.rest(POLL_S)
                    continue
                if self._sender.choosing is not None:
                    await self._all_flushed()  # or what follows what was just sent would not be among the choices
                puts = self._sender.put_count
                leases, rest_s = await self._sender.claims.next(
                    self.fence, room, run=1 if is_probe else run_of(self._sender.bridge)
                )
                known = await self._sender.lookup.claimed(leases)
            except LeaseLost:
                raise
            except (OutboxError, JournalError) as error:
                log.debug("claim_postponed", destination=self._sender.bridge.name, reason=str(error))
                await self._start_over()
                continue
            for run in _by_conversation(leases):
                self._active += 1
                self._sender.in_hand.update(lease.id for lease in run)
                group.create_task(self._send_run(run, known, puts), name=f"run {self._sender.bridge.name}")
            if len(leases) < room:
                await self._sender.rest(rest_s)

    async def _start_over(self) -> None:
        """Acquire anew after a claim whose answer may be lost, or else what it leased stays hidden."""
        while self._active:
            await self._sender.rest(POLL_S)
        await self._all_flushed()
        self.fence = await self._sender.holding.acquire()

    async def _send_run(self, run: Sequence[Lease], known: Known, puts: int) -> None:
        """Send a run in order. `puts`: how much had been queued when it was claimed."""
        ends_at = self._sender.monotonic() + RUN_S
        broken: set[str] = set()
        lease = run[0]

        def must_end(lease: Lease) -> bool:
            return self._must_end(lease, run, ends_at)

        try:
            await self._sender.fold(run)
            for lease in run:
                if not await self._send_one(lease, known, broken, must_end):
                    return
        except JournalError as error:
            log.debug("send_postponed", destination=self._sender.bridge.name, reason=str(error))
            self._put_by(self._sender.outcomes.give_back(lease, after_s=JOURNAL_AGAIN_S))
        finally:
            self._active -= 1
            self._behind |= len(run) >= RUN or puts != self._sender.put_count
            if self._active == self._sender.bridge.capabilities.in_flight - 1:
                self._sender.look_again()

    def _must_end(self, lease: Lease, run: Sequence[Lease], ends_at: float) -> bool:
        """Whether the rest of a run goes back unsent: it took too long, an emergency waits, the network is down."""
        gives_way = (
            self._sender.claims.is_hurried and lease.delivery.lane is not Lane.EMERGENCY and lease.id != run[0].id
        )
        return gives_way or self._sender.monotonic() > ends_at or not self._sender.gate.admit(lease)

    async def _send_one(
        self, claimed: Lease, known: Known, broken: set[str], must_end: Callable[[Lease], bool]
    ) -> bool:
        """Send one; False if the rest of its conversation must wait. JournalError if it can't be told what it is."""
        if _refers(claimed.delivery.message):
            # What it refers to may have been sent a moment ago: its receipt must be in the journal.
            await self._all_flushed()
        await self._sender.holding.assure(self.fence)
        lease = await self._sender.lookup.latest(claimed, known)
        if lease is None:
            # Sent before the queue forgot that it was, or taken back, or said otherwise.
            self._put_by(Settled(outcome=Done(id=claimed.id), change=None))
            return True
        delivery = lease.delivery
        if delivery.message.id in broken:
            self._put_by(Settled(outcome=Done(id=lease.id), change=self._sender.outcomes.cancelled(lease.id)))
            return True
        settled = self._sender.refused(lease) or self._sender.not_ours(lease)
        if settled is None:
            if must_end(lease):
                self._put_by(self._sender.outcomes.give_back(lease))
                return False
            self._sender.begin([lease])
            self._sender.reports.begin(lease.id)
            settled = await self._sender.send(lease)
        self._put_by(settled)
        if isinstance(settled.outcome, Buried) and delivery.part < delivery.parts:
            broken.add(delivery.message.id)
            await self._sender.settling.cancel_later_parts(
                delivery.message.id, delivery.to, delivery.part, delivery.parts
            )
        return not isinstance(settled.outcome, Retry)

    def _put_by(self, settled: Settled) -> None:
        self._settled += self._sender.outcomes.as_of_now([settled])
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
            batch = self._sender.outcomes.as_of_now(batch)
            await self._sender.settling.record([settled.change for settled in batch if settled.change is not None])
            batch = self._sender.outcomes.as_of_now(batch)  # the disk may have taken hours
            await self._sender.settling.settle(self.fence, [settled.outcome for settled in batch])
            self._sender.end([settled.outcome.id for settled in batch])
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
                await self._sender.unanswered.overdue(self.fence)
            except LeaseLost:
                raise
            except (OutboxError, JournalError) as error:
                log.debug("overdue_postponed", destination=self._sender.bridge.name, reason=str(error))


def _by_conversation(leases: Sequence[Lease]) -> list[list[Lease]]:
    runs: dict[tuple[str, str], list[Lease]] = {}
    for lease in leases:
        runs.setdefault((lease.delivery.lane, lease.delivery.to.conversation), []).append(lease)
    return list(runs.values())


def _refers(message: Message) -> bool:
    return message.reply_to is not None or isinstance(message.content, Reaction | Edit | Redaction)
