# SPDX-License-Identifier: GPL-3.0-or-later
"""Hops 2 and 3: what a bridge yields is routed, fitted and journalled; the journal drains into the queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from gateway.changes import NOT_YOURS, amendment_of, may_change
from gateway.emergency import EmergencyRules, Triage
from gateway.fitting import Unfit, fit
from gateway.fresh import Fresh
from gateway.journal import Accepted, Batch, Change, Journal, Rewrite, Seen
from gateway.lookahead import LookAhead
from gateway.model import (
    Address,
    BridgeName,
    Capabilities,
    Clock,
    Delivery,
    DeliveryId,
    Edit,
    JournalError,
    Lane,
    Level,
    Message,
    OutboxError,
    Redaction,
    SenderId,
    State,
)
from gateway.outbox.outbox import Full, Gap, Outbox, Stored
from gateway.routing import Choice, Refused, RoutingTable
from gateway.steps import as_of_now, of_this_time

log = structlog.get_logger()

BATCH = 256
MOST_HANDED = 2048
"""Messages a drain may be told of ahead; one that is further behind reads the journal."""
CHECK_EVERY_S = 5.0
"""How often an idle drain asks whether the queue still knows what it was given."""
AGAIN_S = (0.1, 2.0)
"""First and longest pause while the queue or the journal is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of one message: the deliveries to make, and those that end before they begin."""

    deliveries: tuple[Delivery, ...]
    ended: tuple[tuple[Delivery, State, str], ...]
    refused: frozenset[Address] = frozenset()
    """Where its sender may not speak."""

    @property
    def everything(self) -> tuple[Delivery, ...]:
        """All of them."""
        return (*self.deliveries, *(delivery for delivery, _, _ in self.ended))

    def refused_by(self, reason: str) -> Plan:
        """Return the plan in which all of it ends before it begins."""
        return replace(self, deliveries=(), ended=tuple((one, State.CANCELLED, reason) for one in self.everything))


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Routing and fitting together: pure, once all bridges are known."""

    table: RoutingTable
    capabilities: Mapping[BridgeName, Capabilities]
    level_of: Callable[[SenderId], Level]
    is_direct: Callable[[Address], bool]

    def plan(self, message: Message, *, answers: Address | None = None, choice: Choice | None = None) -> Plan:
        """Return every delivery of this message. A refused or unfit one is there too, with its reason."""
        level = self.level(message, choice)
        deliveries: list[Delivery] = []
        ended: list[tuple[Delivery, State, str]] = []
        refused: set[Address] = set()
        for bound in self.table.decide(message, level, answers=answers, choice=choice):
            whole = Delivery(message=message, to=bound.to, direct=self.is_direct(bound.to))
            if isinstance(bound, Refused):
                ended.append((whole, State.CANCELLED, bound.reason))
                refused.add(bound.to)
                continue
            fitted = self.fitted(message, bound.to, bound.expires_s)
            if isinstance(fitted, Unfit):
                ended.append((whole, fitted.state, fitted.reason))
            else:
                deliveries += fitted
        return Plan(deliveries=tuple(deliveries), ended=tuple(ended), refused=frozenset(refused))

    def level(self, message: Message, choice: Choice | None) -> Level:
        """Return what the sender may do; who names addresses or a route was let in as an operator."""
        return Level.ADMIN if choice is not None else self.level_of(message.sender.id)

    def fitted(self, message: Message, to: Address, expires_s: int | None) -> tuple[Delivery, ...] | Unfit:
        """Return the parts of this message for this address."""
        return self.fitted_until(message, to, None if expires_s is None else message.received_ms + expires_s * 1000)

    def fitted_until(self, message: Message, to: Address, expires_ms: int | None) -> tuple[Delivery, ...] | Unfit:
        """Return the same, with the time when they are too old."""
        parts = fit(message, to, self.capabilities[to.bridge])
        if isinstance(parts, Unfit):
            return parts
        direct = self.is_direct(to)
        return tuple(
            Delivery(message=part, to=to, part=n, parts=len(parts), expires_ms=expires_ms, direct=direct)
            for n, part in enumerate(parts, 1)
        )


class Observer(Protocol):
    """Who wants to know: metrics, event streams, status."""

    def accepted(self, message: Message, plan: Plan) -> None:
        """A message is journalled."""
        ...

    def changed(self, bridge: BridgeName, change: Change) -> None:
        """A delivery to this bridge has a new state."""
        ...

    def sent(self, bridge: BridgeName, seconds: float) -> None:
        """A delivery took this long from receiving its message to the far network having it."""
        ...


class Intake:
    """Accepts messages: when `accept` returns, they are on the disk and will not be lost."""

    def __init__(
        self,
        journal: Journal,
        planner: Planner,
        outbox: Outbox,
        observer: Observer,
        *,
        hand_over: Callable[[int, Sequence[Delivery]], None],
        changing: Callable[[Mapping[BridgeName, Sequence[DeliveryId]]], AbstractContextManager[None]],
        works: Callable[[BridgeName], bool],
        rewrite: Callable[[], Rewrite],
        triage: Triage | None = None,
        clock: Clock | None = None,
        shared: bool = False,
    ) -> None:
        """`hand_over` is told of everything that was journalled: its sequence and its deliveries.

        `changing`: none of these deliveries is sent while the context lasts, nor without a look after it.
        `works`: whether this gateway is the one that sends to a bridge now. `rewrite` words a digest anew
        when something it names was changed. `clock`: the one messages were received by. `shared`: other
        boxes use the queue too.
        """
        self._shared = shared
        self._clock = clock
        self._step_ms = 0
        self._journal = journal
        self._planner = planner
        self._outbox = outbox
        self._observer = observer
        self._hand_over = hand_over
        self._changing = changing
        self._works = works
        self._rewrite = rewrite
        self.triage = triage or Triage(EmergencyRules())
        self.trouble = ""
        """Why nothing can be accepted, in words; empty while it can."""

    def stepped(self, step_ms: int) -> None:
        """The clock was set by so much, after messages may have been received that come in only now."""
        self._step_ms = step_ms

    async def accept(self, message: Message, *, choice: Choice | None = None) -> Accepted | Seen:
        """Journal a message with its deliveries and its source's resume point; JournalError if it can't."""
        try:
            answers = await self._answers(message)
            if self._clock is not None and self._step_ms:
                message = as_of_now(message, self._clock.now_ms(), self._step_ms)
            message, held = self.triage.judge(message, self._planner.level(message, choice))
            plan = self._planner.plan(message, answers=answers, choice=choice)
            result, plan = await self._store(message, plan)
        except JournalError as error:
            self.trouble = str(error)
            raise
        self.trouble = ""
        if isinstance(result, Seen):
            await self._cancel(result)
            if self._shared:
                await self._complete(message, plan)
            return result
        self.triage.accepted(message, held)
        if held:
            self._say_held(message, plan, held)
        self._observer.accepted(message, plan)
        over = {change.id for _, change in result.changes if not change.state.is_pending}
        self._hand_over(result.seq, [delivery for delivery in plan.deliveries if delivery.id not in over])
        await self._tell(result.changes)
        return result

    def _say_held(self, message: Message, plan: Plan, reason: str) -> None:
        """Tell everyone concerned that what called itself an emergency goes as a normal message."""
        log.warning("emergency_held", bridge=message.origin.bridge, sender=message.sender.id, reason=reason)
        self._journal.note(
            [Change(id=d.id, state=State.WAITING, reason=reason, at_ms=message.received_ms) for d in plan.deliveries]
        )

    async def _store(self, message: Message, plan: Plan) -> tuple[Accepted | Seen, Plan]:
        """Journal it; an edit or a redaction with what it does to a target that has not left. Return the plan kept."""
        target = None
        if isinstance(message.content, Edit | Redaction):
            target = await self._journal.revisions.original(message.origin, message.content.target)
        if target is None:
            return await self._journal.accept(message, plan.deliveries, plan.ended), plan
        if not may_change(message, target):
            plan = plan.refused_by(NOT_YOURS)
            return await self._journal.accept(message, plan.deliveries, plan.ended), plan
        amendment = amendment_of(
            message,
            target,
            fitted=self._planner.fitted_until,
            works=self._works,
            bound_for=frozenset(delivery.to for delivery in plan.everything),
            refused=plan.refused,
            rewrite=self._rewrite(),
        )
        if amendment is None:
            return await self._journal.accept(message, plan.deliveries, plan.ended), plan
        with self._changing(target.touches):
            return await self._journal.revisions.accept(message, plan.deliveries, plan.ended, amendment), plan

    async def _tell(self, changes: Sequence[tuple[BridgeName, Change]]) -> None:
        """Say what became of earlier deliveries, and spare the queue those that are over."""
        over: dict[BridgeName, list[DeliveryId]] = {}
        for bridge, change in changes:
            self._observer.changed(bridge, change)
            if not change.state.is_pending:
                over.setdefault(bridge, []).append(change.id)
        for bridge, ids in over.items():
            await self._take_off(bridge, ids)

    async def _answers(self, message: Message) -> Address | None:
        if message.reply_to is None:
            return None
        target = await self._journal.find(message.origin, message.reply_to)
        if target is None or not target.direct or target.origin.bridge not in self._planner.capabilities:
            return None
        return target.origin

    async def _complete(self, message: Message, plan: Plan) -> None:
        """Add what this box never planned: it met the message on its way out, accepted by another box."""
        known = await self._journal.standings([delivery.id for delivery in plan.deliveries])
        missing = [delivery for delivery in plan.deliveries if delivery.id not in known]
        record = await self._journal.message(message.id) if missing else None
        if record is not None and record.message.origin == message.origin:
            await self._journal.requeue(missing)

    async def _cancel(self, seen: Seen) -> None:
        """A copy came in where the message was still to go out: it is there already."""
        for bridge, ids in seen.by_bridge().items():
            with self._changing({bridge: ids}):
                await self._take_off(bridge, ids)

    async def _take_off(self, bridge: BridgeName, ids: Sequence[DeliveryId]) -> None:
        try:
            taken = frozenset(await self._outbox.cancel(bridge, ids))
            # Dead letters; of what was taken a shared queue must go on knowing that it was.
            if dead := [ident for ident in ids if ident not in taken]:
                await self._outbox.drop(bridge, dead)
        except OutboxError as error:
            # The journal says that they are over, and delivery asks it before it sends.
            log.info("cancel_postponed", bridge=bridge, reason=str(error))


class Handed:
    """What was journalled lately, without a gap, so that a drain that keeps up reads nothing back."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, Sequence[Delivery]]] = deque()

    def add(self, seq: int, deliveries: Sequence[Delivery]) -> None:
        """Add what comes next; after a gap, or past the limit, only what follows counts."""
        if self._entries and (seq != self._entries[-1][0] + 1 or len(self._entries) >= MOST_HANDED):
            self._entries.clear()
        self._entries.append((seq, deliveries))

    def take(self, cursor: int, limit: int) -> Batch | None:
        """Return what directly follows `cursor`, about `limit` deliveries; None: look into the journal."""
        while self._entries and self._entries[0][0] <= cursor:
            self._entries.popleft()
        if not self._entries or self._entries[0][0] != cursor + 1:
            return None
        taken: list[Delivery] = []
        upto = cursor
        while self._entries and len(taken) < limit:
            upto, deliveries = self._entries.popleft()
            taken += deliveries
        return Batch(upto=upto, deliveries=tuple(taken))


class Drain:
    """Moves one destination's deliveries from the journal into the queue, exactly once and in order."""

    def __init__(
        self,
        destination: BridgeName,
        journal: Journal,
        outbox: Outbox,
        clock: Clock,
        *,
        ready: Callable[[], None],
        fresh: Fresh | None = None,
        urgent: Callable[[], None] = lambda: None,
    ) -> None:
        """`ready` is called when something was queued; `fresh` is told what nobody can know of yet.

        `urgent` is called when an emergency was queued.
        """
        self.destination = destination
        self.trouble = ""
        """Why nothing is moving, in words; empty while it moves."""
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._ready = ready
        self._fresh = fresh or Fresh()
        self._urgent = urgent
        self._ahead = LookAhead(destination, journal, outbox, clock, urgent=urgent)
        self._woken = asyncio.Event()
        self._cursor: int | None = None
        self._limit = BATCH
        self._refill = False
        self._handed = Handed()
        self._news_are_old = False
        """Whether what is on its way to the queue may have been changed since it was handed over."""
        self.lock = asyncio.Lock()
        """Held while a batch moves; whoever moves the time of everything takes it."""

    @property
    def upto(self) -> int:
        """Up to which sequence everything is in the queue."""
        return self._cursor or 0

    def hand_over(self, seq: int, deliveries: Sequence[Delivery]) -> None:
        """Learn what was journalled under this sequence: it need not be read back if nothing is missing."""
        mine = [delivery for delivery in deliveries if delivery.to.bridge == self.destination]
        self._handed.add(seq, mine)
        if mine:
            self._woken.set()

    def wake(self) -> None:
        """Say that there is something new in the journal, or that the queue came back."""
        self._woken.set()

    def read_back(self, *, all_of_it: bool = False) -> None:
        """Go by the journal from now on; `all_of_it`: the queue lost entries, give it what it doesn't know."""
        self._handed = Handed()
        self._fresh.clear()
        self._news_are_old = True
        self._refill |= all_of_it
        self.wake()

    async def run(self) -> None:
        """Drain for ever."""
        pause_s = AGAIN_S[0]
        while True:
            try:
                async with self.lock:
                    moved = await self.step()
            except (OutboxError, JournalError) as error:
                self._say(str(error))
                await self._rest(pause_s)
                pause_s = min(pause_s * 2, AGAIN_S[1])
                continue
            pause_s = AGAIN_S[0]
            if moved is None:
                await self._rest(1.0)
            elif not moved:
                await self._rest(CHECK_EVERY_S)

    async def step(self) -> bool | None:
        """Move one batch. True: look again at once; False: nothing is left; None: the queue is full."""
        self._woken.clear()
        if self._cursor is None:
            self._cursor = await self._outbox.cursor(self.destination, self._journal.source)
        if self._refill:
            await self._journal.renew_source()
            self._cursor, self._refill = 0, False
        batch = self._handed.take(self._cursor, self._limit)
        self._news_are_old = batch is None
        if batch is None:
            batch = await self._journal.pending(self.destination, after=self._cursor, limit=self._limit)
            now_ms = self._clock.now_ms()
            batch = replace(batch, deliveries=tuple(of_this_time(each, now_ms) for each in batch.deliveries))
        result = await self._outbox.put(
            self.destination,
            self._journal.source,
            after=self._cursor,
            upto=batch.upto,
            deliveries=batch.deliveries,
        )
        match result:
            case Stored():
                if not self._news_are_old and not result.known:
                    # An emergency may have been looked up ahead, and be sent by now.
                    self._fresh.add([one for one in batch.deliveries if one.lane is not Lane.EMERGENCY])
                return await self._stored(batch.upto, batch.deliveries)
            case Gap():
                await self._gap(result.cursor)
                return True
            case Full():
                self._limit = max(1, self._limit // 2)
                self._say(f"the queue for {self.destination} is full ({result.deliveries} deliveries)")
                if self._limit > 1 and batch.deliveries:
                    return True
                return await self._ahead.step(self._cursor) or None

    async def _stored(self, upto: int, deliveries: tuple[Delivery, ...]) -> bool:
        self._say("")
        more = len(deliveries) >= self._limit
        self._cursor = upto
        self._limit = min(BATCH, self._limit * 2)
        if deliveries:
            now_ms = self._clock.now_ms()
            self._journal.note(
                [Change(id=d.id, state=State.QUEUED, at_ms=now_ms, only_from=State.WAITING) for d in deliveries]
            )
            if any(delivery.lane is Lane.EMERGENCY for delivery in deliveries):
                self._urgent()
            self._ready()
        return more

    async def _gap(self, cursor: int) -> None:
        """Go on from where the queue says it is: behind us after a loss, ahead if an answer to us was lost."""
        expected = self._cursor or 0
        if cursor <= await self._journal.head():
            if cursor < expected:
                log.warning("queue_lost_its_tail", destination=self.destination, expected=expected, found=cursor)
            self._cursor = cursor
            return
        # Only a journal that was restored from an older copy is behind what it has already handed over.
        log.warning("journal_went_back", destination=self.destination, expected=expected, found=cursor)
        await self._journal.renew_source()
        self._cursor = 0

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.warning("drain_held", destination=self.destination, reason=trouble)
        elif self.trouble and not trouble:
            log.info("drain_moving", destination=self.destination)
        self.trouble = trouble

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        if self.trouble:
            # Woken by new messages while the queue is away: do not let a busy source turn this into a spin.
            await asyncio.sleep(min(seconds, AGAIN_S[0]))
