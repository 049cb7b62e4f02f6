# SPDX-License-Identifier: GPL-3.0-or-later
"""Hop 2: what a bridge yields is routed, fitted and journalled; from then on a crash loses nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import structlog

from gateway.changes import NOT_YOURS, amendment_of, may_change, too_late
from gateway.emergency import EmergencyRules, Triage
from gateway.journal import Accepted, Change, Journal, Origin, Rewrite, Seen
from gateway.model import (
    Address,
    BridgeName,
    Clock,
    Delivery,
    DeliveryId,
    Edit,
    JournalError,
    Lane,
    Message,
    MessageId,
    OutboxError,
    Reaction,
    Redaction,
    State,
)
from gateway.outbox.outbox import Outbox
from gateway.planning import Plan, Planner
from gateway.routing import Answers, Choice
from gateway.steps import as_of_now

log = structlog.get_logger()


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
        count: Callable[[BridgeName, str], None] = lambda _, __: None,
        clock: Clock | None = None,
        shared: bool = False,
    ) -> None:
        """`hand_over` is told of everything that was journalled: its sequence and its deliveries.

        `changing`: none of these deliveries is sent while the context lasts, nor without a look after it.
        `works`: whether this gateway is the one that sends to a bridge now. `rewrite` words a digest anew
        when something it names was changed. `count` is told of what no route carries. `clock`: the one
        messages were received by. `shared`: other boxes use the queue too.
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
        self._count = count
        self.triage = triage or Triage(EmergencyRules())
        self.recognise: Callable[[Message], Awaitable[Message]] = _as_it_is
        """Takes what another box of ours said, and a bridge heard, for what it is a copy of."""
        self.arrived: Callable[[MessageId], None] = lambda _: None
        """Told of every message that is journalled."""
        self.planned: Callable[[Sequence[Delivery]], None] = lambda _: None
        """Told of every delivery that is journalled."""
        self.is_said: Callable[[Message, Address], bool] = lambda _, __: False
        """Whether another box of ours has said a message somewhere."""
        self.trouble = ""
        """Why nothing can be accepted, in words; empty while it can."""

    def stepped(self, step_ms: int) -> None:
        """The clock was set by so much, after messages may have been received that come in only now."""
        self._step_ms = step_ms

    def wants(self, message: Message) -> bool:
        """Whether it is to be accepted. Not what is on a topic that no route carries from there: that is counted only.

        What says where its source goes on is, for that has to be stored.
        """
        if message.resume is not None or self._planner.table.carries(message):
            return True
        self._count(message.origin.bridge, f"{message.topic}_not_carried")
        if message.lane is Lane.EMERGENCY:
            log.warning("emergency_not_carried", origin=str(message.origin), sender=message.sender.id)
        return False

    async def accept(self, message: Message, *, choice: Choice | None = None) -> Accepted | Seen:
        """Journal a message with its deliveries and its source's resume point; JournalError if it can't."""
        try:
            message = await self.recognise(message)
            answers = await self._answers(message)
            if self._clock is not None and self._step_ms:
                message = as_of_now(message, self._clock.now_ms(), self._step_ms)
            now_ms = None if self._clock is None else self._clock.now_ms()
            message, held = self.triage.judge(message, self._planner.level(message, choice), now_ms)
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
        self.arrived(message.id)
        self.planned(plan.everything)
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
        plan = plan.without(too_late(message, target, self._planner.capabilities))
        amendment = amendment_of(
            message,
            target,
            fitted=self._planner.fitted_until,
            works=self._works,
            elsewhere=frozenset(to for to in target.expires_ms if self.is_said(target.message, to)),
            bound_for=frozenset(delivery.to for delivery in plan.everything),
            refused=plan.refused,
            rewrite=self._rewrite(),
        )
        if amendment is None or (self._shared and amendment.says is not None):
            # What another box would send in our stead it has from the queue, where the old words are.
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

    async def _answers(self, message: Message) -> Answers | None:
        """Return what the message is about, and in which chat its sender was spoken with last, if that counts."""
        said = message.content
        about = said.target if isinstance(said, Reaction | Edit | Redaction) else message.reply_to
        target = None if about is None else await self._journal.find(message.origin, about)
        chats = self._planner.table.chats(message.origin) if message.direct else ()
        last = await self._journal.last_chat(message.origin, chats) if len(chats) > 1 else None
        if target is None and last is None:
            return None
        return _about(target, last, self._planner.is_direct)

    async def _complete(self, message: Message, plan: Plan) -> None:
        """Add what this box never planned: it met the message on its way out, accepted by another box."""
        known = await self._journal.standings([delivery.id for delivery in plan.deliveries])
        missing = [delivery for delivery in plan.deliveries if delivery.id not in known]
        record = await self._journal.message(message.id) if missing else None
        if record is not None and record.message.origin == message.origin:
            await self._journal.requeue(missing, only_from=frozenset())

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


async def _as_it_is(message: Message) -> Message:
    return message


def _about(target: Origin | None, last: Address | None, is_direct: Callable[[Address], bool]) -> Answers:
    if target is None:
        return Answers(last_chat=last)
    public = {to.bridge for to in target.bound_for if not is_direct(to)}
    return Answers(
        origin=target.origin,
        direct=target.direct,
        bound_for=target.bound_for,
        private=tuple(to for to in target.bound_for if to.bridge not in public),
        last_chat=last,
    )
