# SPDX-License-Identifier: GPL-3.0-or-later
"""Hop 5: send one lease under its key, and say what became of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog

from gateway.backoff import GiveUp, Policy, TryAgain, delays
from gateway.counterparts import AboutFolded, resolve
from gateway.elsewhere import Bookmark, adopt
from gateway.folding import Folding
from gateway.fresh import Fresh
from gateway.gate import Gate
from gateway.intake import Observer
from gateway.journal import Change, Journal
from gateway.link import Link, LinkState
from gateway.lookup import Lookup
from gateway.model import (
    PENDING,
    Address,
    Bridge,
    BridgeError,
    Clock,
    Delivery,
    DeliveryId,
    Foresees,
    GatewayError,
    JournalError,
    LeaseLost,
    Message,
    MessageId,
    NotThere,
    OutboxError,
    RateLimited,
    Receipt,
    Rejected,
    State,
    Unconfirmed,
    delivery_id,
    key_of,
    message_id,
)
from gateway.outbox.outbox import Buried, Done, Fence, Lease, Outbox, Outcome, Retry
from gateway.recollection import Recollection
from gateway.reports import Reports
from gateway.steps import epoch_ms, moved, moved_change

log = structlog.get_logger()

LEASE_MS = 15_000
LET_GO_MS = 10_000
"""A box that hasn't reached its network for so long lets another try."""
VISIBLE_MS = 10 * 60_000
"""Longer than a run may take; a dead holder's leases are due at once when its fence is taken over."""
SEND_TIMEOUT_S = 120.0
POLL_S = 1.0
EXPIRE_EVERY_S = 30.0
"""How often what waits for a link that is down is looked through for what is too old."""
EXPIRE_LIMIT = 256
JOURNAL_AGAIN_S = 2.0
ROUNDING_MS = 2
UNANSWERED_S = 15 * 60.0
"""Longer than any network takes for its last word on a direct message: the queue has lost that it waits for one."""
UNANSWERED_EVERY_S = 60.0
UNANSWERED_LIMIT = 256
UNACKNOWLEDGED = "the node itself did not acknowledge in time"
DIRECT_ATTEMPTS = 3
"""A direct message on radio is put on the air this often at most; it may be seen twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of one lease: for the journal, then for the queue."""

    outcome: Outcome
    change: Change | None
    """None: the journal knows already."""
    epoch_ms: int | None = None
    """By which clock its times are; None: by the one of now."""


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
        shared: bool = False,
    ) -> None:
        """`shared`: other boxes use the queue too, and may hold this bridge."""
        self.bridge = bridge
        self.holds = False
        """Whether this gateway is the one that works this destination now."""
        self.in_hand: set[DeliveryId] = set()
        """What is leased by us and not settled yet: it may be on its way."""
        self.put_count = 0
        """How often something new was queued."""
        self.is_hurried = False
        """Whether an emergency was queued since the last claim: runs give way, so that it is claimed."""
        self._foresees = bridge if isinstance(bridge, Foresees) else None
        self._recollection = Recollection(bridge, clock)
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._owner = owner
        self._observer = observer
        self._random = random
        self._policy = policy
        self.fresh = Fresh()
        self._shared = shared
        self._link = link
        self._sure_until = 0.0
        self.lookup = Lookup(
            journal, self.fresh, learn=self._recollection.learn, adopt=partial(adopt, journal) if shared else None
        )
        self.folding: Folding | None = None
        """None: nothing that goes there is ever folded."""
        self._is_direct = is_direct
        self._ahead: dict[DeliveryId, float] = {}
        """Unanswered ones that are of a time to come, the clock having been set back: since when we know of them."""
        self.queue_lost_entries: Callable[[], None] = lambda: None
        self.taken_by_another: Callable[[], None] = lambda: None
        self.bookmark: Bookmark | None = None
        self._woken = asyncio.Event()
        self.gate = Gate(bridge, link, clock, random)
        self.gate.opened = self.look_again
        self._owes_due = False
        self.reports = Reports(
            bridge.name,
            journal,
            outbox,
            clock=clock,
            random=random,
            is_direct=is_direct,
            changed=lambda change: observer.changed(bridge.name, change),
            give_up=self._give_up,
            refused=self.gate.refused_late,
        )

    def wake(self) -> None:
        """Say that something new is queued."""
        self.put_count += 1
        self._woken.set()

    def hurry(self) -> None:
        """Say that an emergency is queued: no run of another conversation holds it up."""
        self.is_hurried = True
        self.wake()

    def look_again(self) -> None:
        """Say that what is queued may be due now."""
        self._woken.set()

    async def due_now(self) -> None:
        """The link is back: what was waiting for it need not wait longer."""
        self.gate.link_is_up()
        self._begin_anew()
        self._owes_due = True
        with suppress(OutboxError):  # it is away: told before the next claim
            await self._tell_due()
        self.wake()

    def _begin_anew(self) -> None:
        if self.folding is not None:
            self.folding.begin()

    async def _tell_due(self) -> None:
        """Tell the queue that everything is due, if the link came back and it wasn't told yet."""
        if self._owes_due:
            await self._outbox.due_now(self.bridge.name, now_ms=self._clock.now_ms())
            self._owes_due = False

    async def acquire(self) -> Fence:
        """Wait until this destination is ours, anew if it was: what was leased before is due at once.

        On a shared queue a box that doesn't reach the network takes it only when nobody else does, so that
        what waits there expires in time.
        """
        pauses = delays(self._random, first_s=0.1, longest_s=2.0)
        while True:
            ttl_ms = await self._wait_reached()
            asked = self._clock.monotonic()
            try:
                fence = await self._outbox.acquire(
                    self.bridge.name, self._owner, now_ms=self._clock.now_ms(), ttl_ms=ttl_ms
                )
            except OutboxError as error:
                log.debug("acquire_postponed", destination=self.bridge.name, reason=str(error))
            else:
                if fence is not None:
                    self._sure_until = asked + ttl_ms / 1000
                    self._begin_anew()
                    return fence
                if ttl_ms:
                    self.taken_by_another()
            await self._clock.sleep(next(pauses))

    async def _wait_reached(self) -> int:
        """Wait a while for the network; return for how long to hold the lease, 0 if it isn't reached."""
        if not self._shared:
            return LEASE_MS
        with suppress(TimeoutError):
            async with asyncio.timeout(EXPIRE_EVERY_S):
                await self._link.wait_up()
        return LEASE_MS if self._link.is_up else 0

    async def renew(self, fence: Fence) -> None:
        """Hold the destination longer; LeaseLost when another has it.

        On a shared queue, and with the network out of reach for a while: only until another box wants it.
        """
        asked, ttl_ms = self._clock.monotonic(), self._ttl_ms()
        try:
            await self._outbox.renew(fence, now_ms=self._clock.now_ms(), ttl_ms=ttl_ms)
        except LeaseLost:
            raise
        except OutboxError as error:
            log.debug("renew_postponed", destination=self.bridge.name, reason=str(error))
        else:
            self._sure_until = asked + ttl_ms / 1000

    def _ttl_ms(self) -> int:
        if not self._shared or self._link.is_up:
            return LEASE_MS
        is_over = self._link.state is LinkState.STOPPED
        return 0 if is_over or self._clock.now_ms() - self._link.since_ms > LET_GO_MS else LEASE_MS

    async def assure(self, fence: Fence) -> None:
        """Return while the lease is surely ours; after that ask the queue, however long it is away. LeaseLost.

        A box that was frozen, or cut off from the queue, for longer than its lease must send nothing more.
        """
        pauses = delays(self._random, first_s=0.1, longest_s=1.0)
        while self._shared and self._clock.monotonic() >= self._sure_until:
            await self.renew(fence)
            if self._clock.monotonic() >= self._sure_until:
                await self._clock.sleep(next(pauses))

    async def resign(self, fence: Fence) -> None:
        """Give the destination up, so that a standby need not wait."""
        with suppress(OutboxError):
            await self._outbox.resign(fence)

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return self._clock.monotonic()

    def as_of_now(self, settled: Settled) -> Settled:
        """Return it with its times by the clock as it is now, wherever that was set since it was last so."""
        by_ms = 0 if settled.epoch_ms is None else self._set_since(settled.epoch_ms)
        if settled.epoch_ms is not None and not by_ms:
            return settled
        change = settled.change if settled.change is None else moved_change(settled.change, by_ms)
        return Settled(outcome=moved(settled.outcome, by_ms), change=change, epoch_ms=epoch_ms(self._clock))

    def _set_since(self, epoch: int) -> int:
        """Return by how much the clock was set since it had this epoch."""
        by_ms = epoch_ms(self._clock) - epoch
        return by_ms if abs(by_ms) > ROUNDING_MS else 0

    def end(self, ids: Sequence[DeliveryId]) -> None:
        """Note that these are settled."""
        self.in_hand.difference_update(ids)
        self.gate.end(ids)
        self.fresh.forget(ids)
        self._recollection.forget(ids)
        self.reports.end(ids)

    def end_all(self) -> None:
        """Note that whatever was in hand isn't ours any more."""
        self.in_hand.clear()
        self.fresh.clear()
        self._recollection.forget_all()
        self.gate.end_all()
        self.reports.end_all()

    async def may_claim(self, fence: Fence) -> None:
        """Wait until the link is up and the breaker lets something out; raises what `claim` does."""
        while True:
            try:
                async with asyncio.timeout(EXPIRE_EVERY_S):
                    await self.gate.wait_open()
            except TimeoutError:
                # Meanwhile let expire what does.
                leases, _ = await self.claim(fence, EXPIRE_LIMIT, run=1)
                await self.settle(fence, [self.give_back(lease).outcome for lease in leases])
                continue
            await self._tell_due()
            return

    async def rest(self, seconds: float) -> None:
        """Wait for something to do, or so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    # What a shift needs of its sender.

    async def fold(self, run: Sequence[Lease]) -> None:
        """Fold what is stale of this run's conversation. If the journal can't, it is sent as it is: late but whole."""
        if self.folding is None:
            return
        try:
            await self.folding.fold(run)
        except JournalError as error:
            log.warning("fold_skipped", destination=self.bridge.name, reason=str(error))

    async def claim(self, fence: Fence, room: int, *, run: int) -> tuple[Sequence[Lease], float]:
        """Lease what is due for up to `room` conversations; return also seconds until more is due."""
        self.is_hurried = False  # an emergency comes first in what is claimed now
        now_ms = self._clock.now_ms()
        claimed = await self._outbox.claim(
            fence, now_ms=now_ms, visible_ms=VISIBLE_MS, limit=room * run, run=run, at_hand=self.fresh.at_hand
        )
        if claimed.unreadable:
            self.queue_lost_entries()
        if claimed.expired:
            await self._expire(claimed.expired, now_ms)
        rest_s = POLL_S if claimed.next_ms is None else min(POLL_S, max(0.01, (claimed.next_ms - now_ms) / 1000))
        return claimed.leases, rest_s

    async def _expire(self, deliveries: Sequence[Delivery], now_ms: int) -> None:
        reason = "too old for this network"
        # A queue that lost its tail, or kept what was folded, gives out what the journal knows the end of.
        changes = [
            Change(id=one.id, state=State.EXPIRED, reason=reason, at_ms=now_ms, only_from=PENDING) for one in deliveries
        ]
        made = frozenset(await self._journal.apply(changes))
        for change in changes:
            if change.id in made:
                self._observer.changed(self.bridge.name, change)

    def begin(self, leases: Sequence[Lease]) -> None:
        """Note that these are about to be sent, and under which ids, where the network takes ours."""
        now_ms = self._clock.now_ms()
        changes = [self._begun(lease, now_ms) for lease in leases]
        self._journal.note(changes)
        for change in changes:
            self._observer.changed(self.bridge.name, change)

    def _begun(self, lease: Lease, now_ms: int) -> Change:
        begun = Change(id=lease.id, state=State.SENDING, at_ms=now_ms, generation=lease.generation)
        if self._foresees is None:
            return begun
        foreseen = self._foresees.foresee(key_of(lease.id, lease.generation))
        also = None if foreseen.native_id is None else message_id(foreseen.native_id)
        return replace(begun, remote_id=foreseen.remote_id, also=also)

    async def record(self, changes: Sequence[Change]) -> None:
        """Journal what became of deliveries, however long the disk makes us wait."""
        pauses = delays(self._random, first_s=0.1, longest_s=5.0)
        epoch, said = epoch_ms(self._clock), False
        while True:
            by_ms = self._set_since(epoch)
            try:
                await self._journal.record([moved_change(change, by_ms) for change in changes])
            except JournalError as error:
                if not said:
                    log.error("receipt_postponed", destination=self.bridge.name, reason=str(error))  # noqa: TRY400
                said = True
                await self._clock.sleep(next(pauses))
                continue
            for change in changes:
                self._observer.changed(self.bridge.name, change)
            return

    async def settle(self, fence: Fence, outcomes: Sequence[Outcome]) -> None:
        """Tell the queue, however long it is away; LeaseLost when it is another's by then."""
        pauses = delays(self._random, first_s=0.05, longest_s=1.0)
        epoch = epoch_ms(self._clock)
        while True:
            by_ms = self._set_since(epoch)
            try:
                told = [moved(outcome, by_ms) for outcome in outcomes]
                await self._outbox.settle(fence, told, now_ms=self._clock.now_ms())
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
        if not late:
            return
        standings = await self._journal.standings([delivery.id for delivery in late])
        for delivery in late:
            standing = standings.get(delivery.id)
            if standing is None:
                continue
            if standing.state.is_pending:
                # It was refused and should have been queued again when we died. The queue forgets it first.
                await self._outbox.drop(self.bridge.name, [delivery.id])
                await self._journal.requeue([standing.revised or delivery])
            elif delivery.direct and standing.state in {State.SENT, State.HEARD}:
                await self._give_up(delivery.id, UNACKNOWLEDGED)

    async def watch_unanswered(self) -> None:
        """Give up, now and then, what has waited for a last word longer than any network takes."""
        while True:
            try:
                await self.give_up_unanswered()
            except JournalError as error:
                log.debug("unanswered_postponed", destination=self.bridge.name, reason=str(error))
            await self._clock.sleep(UNANSWERED_EVERY_S)

    async def give_up_unanswered(self) -> None:
        """Make dead letters of direct messages whose wait for a last word the queue has lost with its tail.

        The journal has them as sent, so nobody would send them again, nor ever say what became of them.
        """
        now_ms, now, name = self._clock.now_ms(), self._clock.monotonic(), self.bridge.name
        found = await self._journal.unanswered(
            name,
            lambda conversation: self._is_direct(Address(name, conversation)),
            span=(now_ms - round(UNANSWERED_S * 1000), now_ms),
            limit=UNANSWERED_LIMIT,
        )
        self._ahead = {ident: self._ahead.get(ident, now) for ident, at_ms in found.items() if at_ms > now_ms}
        due = [ident for ident in found if now - self._ahead.get(ident, now - UNANSWERED_S) >= UNANSWERED_S]
        for ident in due:
            await self._give_up(ident, UNACKNOWLEDGED)

    async def _give_up(self, id: DeliveryId, reason: str) -> None:
        """Make what was sent a dead letter, and cancel the parts after it."""
        undelivered = frozenset(State) - {State.DELIVERED}
        change = Change(id=id, state=State.FAILED, reason=reason, at_ms=self._clock.now_ms(), only_from=undelivered)
        await self.record([change])
        found = await self._journal.delivery(id)
        if found is not None and found.record.part < found.record.parts:
            record = found.record
            await self.cancel_later_parts(found.message.id, record.to, record.part, record.parts)

    async def send(self, lease: Lease) -> Settled:
        """Send one lease and say what became of it; never raises BridgeError."""
        delivery = lease.delivery
        if delivery.direct and lease.attempt > DIRECT_ATTEMPTS:
            return self._bury(lease, f"no acknowledgement after {DIRECT_ATTEMPTS} tries")
        try:
            message = await resolve(delivery, self._journal)
        except Rejected as error:
            return self._bury(lease, str(error))
        except AboutFolded as error:
            return self._folded(lease, str(error))
        except JournalError as error:
            return self._put_off(lease, TryAgain(after_s=JOURNAL_AGAIN_S, counted=False), error, State.QUEUED)
        return await self._hand_over(lease, message)

    async def _hand_over(self, lease: Lease, message: Message) -> Settled:
        delivery = lease.delivery
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                key = key_of(lease.id, lease.generation)
                receipt = await self._recollection.recall(delivery, key)
                receipt = receipt or await self.bridge.send(message, delivery.to, key=key)
        except TimeoutError:
            error = Unconfirmed("the network did not answer in time")
            return self._failed(lease, error, is_down=self.gate.failed(lease, error))
        except BridgeError as error:
            return self._failed(lease, error, is_down=self.gate.failed(lease, error))
        except Exception:
            # A defect in a bridge must not take every other conversation down with this message.
            log.exception("bridge_defect", destination=self.bridge.name, delivery=delivery.id)
            return self._failed(lease, Unconfirmed("a defect in the bridge; the log has its trace"), is_down=False)
        self.gate.answered(lease)
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
        done = Done(id=lease.id, awaiting_until_ms=until, remote_id=receipt.remote_id)
        return Settled(outcome=done, change=change)

    def _failed(self, lease: Lease, error: BridgeError, *, is_down: bool) -> Settled:
        decision = self._policy.after(error, attempt=lease.attempt, random=self._random, is_down=is_down)
        log.info(
            "delivery_put_off" if isinstance(decision, TryAgain) else "delivery_failed",
            destination=self.bridge.name,
            delivery=lease.id,
            attempt=lease.attempt,
            reason=str(error),
        )
        if isinstance(decision, GiveUp):
            return self._bury(lease, decision.reason)
        is_waiting = isinstance(error, NotThere) or (is_down and not isinstance(error, RateLimited))
        state = State.WAITING if is_waiting else State.QUEUED
        return self._put_off(lease, decision, error, state)

    def _put_off(self, lease: Lease, decision: TryAgain, error: GatewayError, state: State) -> Settled:
        now_ms = self._clock.now_ms()
        retry = Retry(
            id=lease.id,
            at_ms=now_ms + round(decision.after_s * 1000),
            counted=decision.counted,
            fresh_key=decision.fresh_key,
        )
        change = Change(
            id=lease.id,
            state=state,
            reason=str(error),
            generation=lease.generation + decision.fresh_key,
            at_ms=now_ms,
        )
        return Settled(outcome=retry, change=change)

    def give_back(self, lease: Lease, *, after_s: float = 0.0) -> Settled:
        """Return what gives a lease back unsent."""
        at_ms = self._clock.now_ms() + round(after_s * 1000)
        return Settled(outcome=Retry(id=lease.id, at_ms=at_ms, counted=False), change=None)

    def _folded(self, lease: Lease, reason: str) -> Settled:
        change = Change(id=lease.id, state=State.FOLDED, reason=reason, at_ms=self._clock.now_ms())
        return Settled(outcome=Done(id=lease.id), change=change)

    def _bury(self, lease: Lease, reason: str) -> Settled:
        ident = lease.id
        change = Change(id=ident, state=State.FAILED, reason=reason, at_ms=self._clock.now_ms())
        return Settled(outcome=Buried(id=ident, reason=reason), change=change)

    def cancelled(self, ident: DeliveryId) -> Change:
        """Return the change for a part that is not sent any more."""
        return Change(
            id=ident,
            state=State.CANCELLED,
            reason="an earlier part failed",
            at_ms=self._clock.now_ms(),
            only_from=PENDING,
        )

    async def cancel_later_parts(self, message: MessageId, to: Address, part: int, parts: int) -> None:
        """Take the parts after this one off the queue; those leased now are dropped before they are sent."""
        later = [delivery_id(message, to, number) for number in range(part + 1, parts + 1)]
        with self.lookup.changing(later):
            with suppress(OutboxError):
                await self._outbox.cancel(self.bridge.name, later)
            await self.record([self.cancelled(ident) for ident in later])
