# SPDX-License-Identifier: GPL-3.0-or-later
"""Hop 5: lease what is due, and send it under its key. What became of it, others decide and tell."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from gateway.backoff import Policy, TryAgain
from gateway.choosing import Choosing
from gateway.claims import VISIBLE_MS, Claims
from gateway.counterparts import AboutFolded, Formerly, nowhere_else, resolve
from gateway.elsewhere import Bookmark, adopt
from gateway.folding import Folding
from gateway.fresh import Fresh
from gateway.gate import Gate
from gateway.holding import EXPIRE_EVERY_S, Holding
from gateway.intake import Observer
from gateway.journal import Change, Journal
from gateway.link import Link
from gateway.lookup import Lookup
from gateway.model import (
    Address,
    Bridge,
    BridgeError,
    Clock,
    Delivery,
    DeliveryId,
    Foresees,
    JournalError,
    Listen,
    Message,
    OutboxError,
    Receipt,
    Rejected,
    Said,
    Schedules,
    Speak,
    State,
    Unconfirmed,
    key_of,
    message_id,
)
from gateway.outbox.outbox import Fence, Lease, Outbox
from gateway.outcomes import Outcomes, Settled
from gateway.recollection import Recollection
from gateway.reports import Reports
from gateway.settling import Settling
from gateway.speaking import Speaking, deliveries_of
from gateway.unanswered import Unanswered

log = structlog.get_logger()

SEND_TIMEOUT_S = 120.0
EXPIRE_LIMIT = 256
JOURNAL_AGAIN_S = 2.0
DIRECT_ATTEMPTS = 3
"""A direct message on radio is put on the air this often at most; it may be seen twice."""


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
        self._foresees = bridge if isinstance(bridge, Foresees) else None
        self._recollection = Recollection(bridge, clock)
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._observer = observer
        self.fresh = Fresh()
        self.lookup = Lookup(
            journal, self.fresh, learn=self._recollection.learn, adopt=partial(adopt, journal) if shared else None
        )
        self.choosing = _choosing(bridge, link, outbox, journal, clock=clock, fresh=self.fresh, shared=shared)
        """None: the bridge doesn't say what goes next."""
        self.claims = Claims(
            bridge.name, outbox, journal, clock=clock, observer=observer, fresh=self.fresh, choosing=self.choosing
        )
        self.folding: Folding | None = None
        """None: nothing that goes there is ever folded."""
        self.formerly: Formerly = nowhere_else
        self.bookmark: Bookmark | None = None
        self.speaking = Speaking({}, clock)
        self._woken = asyncio.Event()
        self.gate = Gate(bridge, link, clock, random)
        self.gate.opened = self.look_again
        self._owes_due = False
        self.outcomes = Outcomes(bridge.name, clock, policy=policy, random=random, observer=observer)
        self.settling = Settling(
            bridge.name,
            journal,
            outbox,
            clock=clock,
            random=random,
            observer=observer,
            outcomes=self.outcomes,
            lookup=self.lookup,
        )
        self.holding = Holding(
            bridge.name,
            link,
            outbox,
            clock=clock,
            owner=owner,
            random=random,
            begun=self._begin_anew,
            shared=shared,
        )
        self.reports = Reports(
            bridge.name,
            journal,
            outbox,
            clock=clock,
            random=random,
            is_direct=is_direct,
            changed=lambda change: observer.changed(bridge.name, change),
            give_up=self.settling.give_up,
            refused=self.gate.refused_late,
        )
        self.unanswered = Unanswered(
            bridge, journal, outbox, clock=clock, is_direct=is_direct, give_up=self.settling.give_up
        )

    def wake(self) -> None:
        """Say that something new is queued."""
        self.put_count += 1
        self._woken.set()

    def hurry(self) -> None:
        """Say that an emergency is queued: no run of another conversation holds it up."""
        self.claims.is_hurried = True
        self.wake()

    def look_again(self) -> None:
        """Say that what is queued may be due now."""
        self._woken.set()

    async def due_now(self) -> None:
        """The link is back: what was waiting for it need not wait longer."""
        self.gate.link_is_up()
        self.speaking.reconnected(self.bridge.name)
        self.outcomes.absences.begin_anew()
        self._begin_anew()
        self._owes_due = True
        with suppress(OutboxError):  # it is away: told before the next claim
            await self._tell_due()
        self.wake()

    def appeared(self, conversation: str) -> None:
        """The bridge says that a conversation is there now: what waits for it need not wait longer."""
        if self.outcomes.absences.appeared(Address(self.bridge.name, conversation)):
            self._owes_due = True
            self.wake()

    def _begin_anew(self) -> None:
        if self.folding is not None:
            self.folding.begin()

    async def _tell_due(self) -> None:
        """Tell the queue that everything is due, if the link came back and it wasn't told yet."""
        if self._owes_due:
            await self._outbox.due_now(self.bridge.name, now_ms=self._clock.now_ms())
            self._owes_due = False

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return self._clock.monotonic()

    def end(self, ids: Sequence[DeliveryId]) -> None:
        """Note that these are settled."""
        self.in_hand.difference_update(ids)
        self.gate.end(ids)
        self.fresh.forget(ids)
        self._recollection.forget(ids)
        self.reports.end(ids)
        if self.choosing is not None:
            self.choosing.end(ids)

    def end_all(self) -> None:
        """Note that whatever was in hand isn't ours any more."""
        self.in_hand.clear()
        self.fresh.clear()
        self._recollection.forget_all()
        self.gate.end_all()
        self.reports.end_all()
        if self.choosing is not None:
            self.choosing.end_all()

    @property
    def held(self) -> str:
        """Why its bridge lets nothing out just now, in words; empty while it does, or nobody asks it."""
        return self.choosing.held if self.choosing is not None else ""

    async def may_claim(self, fence: Fence) -> None:
        """Wait until the link is up and the breaker lets something out; raises what `claim` does."""
        while True:
            try:
                async with asyncio.timeout(EXPIRE_EVERY_S):
                    await self.gate.wait_open()
            except TimeoutError:
                # Meanwhile let expire what does.
                leases, _ = await self.claims.claim(fence, EXPIRE_LIMIT, run=1)
                await self.settling.settle(fence, [self.outcomes.give_back(lease).outcome for lease in leases])
                continue
            await self._tell_due()
            return

    async def rest(self, seconds: float) -> None:
        """Wait for something to do, or so long."""
        if self.choosing is not None:
            await self._rest_by_clock(seconds)  # a bridge's wishes are in its clock's seconds
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
        self._woken.clear()

    async def _rest_by_clock(self, seconds: float) -> None:
        def over(sleeping: asyncio.Task[None]) -> None:
            if not sleeping.cancelled():
                self._woken.set()

        sleeping = asyncio.create_task(self._clock.sleep(seconds), name=f"rest {self.bridge.name}")
        sleeping.add_done_callback(over)
        try:
            await self._woken.wait()
        finally:
            sleeping.cancel()

    # What a shift needs of its sender.

    async def fold(self, run: Sequence[Lease]) -> None:
        """Fold what is stale of this run's conversation. If that can't be done, it is sent as it is: late but whole."""
        if self.folding is None or not isinstance(self.speaking.turn(run[0].delivery), Speak):
            return
        try:
            if (folded := await self.folding.fold(run)) is not None and self.speaking.chorus is not None:
                self.speaking.stands_for(folded.digest, await deliveries_of(self._journal, folded.members))
        except JournalError as error:
            log.warning("fold_skipped", destination=self.bridge.name, reason=str(error))

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

    def refused(self, lease: Lease) -> Settled | None:
        """Return what becomes of one that the bridge won't carry; None if it is to be sent."""
        reason = None if self.choosing is None else self.choosing.refusal(lease.id)
        if self.choosing is None or reason is None:
            return None
        self.choosing.refused += 1
        log.info("delivery_refused", destination=self.bridge.name, delivery=lease.id, reason=reason)
        return self.outcomes.buried(lease, reason)

    def not_ours(self, lease: Lease) -> Settled | None:
        """Return what becomes of one that another box says there, or has said; None if it is to be sent."""
        match self.speaking.turn(lease.delivery):
            case Listen() as answer:
                return self.outcomes.listening(lease, answer)
            case Said() as answer:
                return self.outcomes.said(lease, answer, self.speaking.remote_id(lease.delivery.to, answer))
            case Speak():
                return None

    async def send(self, lease: Lease) -> Settled:
        """Send one lease and say what became of it; never raises BridgeError."""
        delivery = lease.delivery
        # A try that nobody answered is made again under its key: the far end has it once at most.
        if delivery.direct and min(lease.attempt - 1, lease.generation) >= DIRECT_ATTEMPTS:
            return self.outcomes.buried(lease, f"no acknowledgement after {DIRECT_ATTEMPTS} tries")
        try:
            message = await resolve(delivery, self._journal, self.formerly)
        except Rejected as error:
            return self.outcomes.buried(lease, str(error))
        except AboutFolded as error:
            return self.outcomes.folded(lease, str(error))
        except JournalError as error:
            return self.outcomes.put_off(lease, TryAgain(after_s=JOURNAL_AGAIN_S, counted=False), error, State.QUEUED)
        return await self._hand_over(lease, message)

    async def _hand_over(self, lease: Lease, message: Message) -> Settled:
        delivery = lease.delivery
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                key = key_of(lease.id, lease.generation)
                receipt = await self._recollection.recall(delivery, key)
                if receipt is None and (said := await self.speaking.look(delivery)) is not None:
                    self.gate.answered(lease)
                    return self.outcomes.said(lease, said, self.speaking.remote_id(delivery.to, said))
                receipt = receipt or await self._said(delivery, message, key)
        except TimeoutError:
            error = Unconfirmed("the network did not answer in time")
            return self.outcomes.failed(lease, error, is_down=self.gate.failed(lease, error))
        except BridgeError as error:
            return self.outcomes.failed(lease, error, is_down=self.gate.failed(lease, error))
        except Exception:
            # A defect in a bridge must not take every other conversation down with this message.
            log.exception("bridge_defect", destination=self.bridge.name, delivery=delivery.id)
            return self.outcomes.failed(
                lease, Unconfirmed("a defect in the bridge; the log has its trace"), is_down=False
            )
        self.gate.answered(lease)
        await self.speaking.end(delivery, receipt.remote_id)
        return self.outcomes.sent(lease, receipt)

    async def _said(self, delivery: Delivery, message: Message, key: str) -> Receipt:
        """Send it, and let the other boxes know before and after."""
        foreseen = None if self._foresees is None else self._foresees.foresee(key)
        await self.speaking.begin(delivery, None if foreseen is None else foreseen.native_id)
        return await self.bridge.send(self.speaking.dressed(message, self.bridge.name), delivery.to, key=key)


def _choosing(
    bridge: Bridge, link: Link, outbox: Outbox, journal: Journal, *, clock: Clock, fresh: Fresh, shared: bool
) -> Choosing | None:
    if not isinstance(bridge, Schedules):
        return None
    return Choosing(
        bridge.name, bridge, link, outbox, journal, clock=clock, fresh=fresh, visible_ms=VISIBLE_MS, shared=shared
    )
