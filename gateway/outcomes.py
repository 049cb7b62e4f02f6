# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a lease, for the journal and for the queue. Decided here, told to them elsewhere."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from gateway.absence import Absences
from gateway.backoff import GiveUp, Policy, TryAgain
from gateway.intake import Observer
from gateway.journal import Change
from gateway.model import (
    PENDING,
    Address,
    BridgeError,
    BridgeName,
    Clock,
    DeliveryId,
    GatewayError,
    Listen,
    NotThere,
    RateLimited,
    Receipt,
    RemoteId,
    Said,
    State,
)
from gateway.outbox.outbox import Buried, Done, Lease, Outcome, Retry
from gateway.steps import epoch_ms, moved, moved_change, stepped_ms

log = structlog.get_logger()

MOST_LISTENING = 4_096
"""Conversations of which it is known what was said last of their waiting; the one of which that is longest ago is
forgotten for one more, and the story of what waits there says it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of one lease: for the journal, then for the queue."""

    outcome: Outcome
    change: Change | None
    """None: the journal knows already."""
    epoch_ms: int | None = None
    """By which clock its times are; None: by the one of now."""


class Outcomes:
    """What becomes of what is leased for one bridge."""

    def __init__(
        self, destination: BridgeName, clock: Clock, *, policy: Policy, random: random.Random, observer: Observer
    ) -> None:
        self.absences = Absences()
        self._listening: dict[Address, tuple[DeliveryId, str]] = {}
        """Which delivery of a conversation waits for another box, and why, as was said last."""
        self._destination = destination
        self._clock = clock
        self._policy = policy
        self._random = random
        self._observer = observer

    def sent(self, lease: Lease, receipt: Receipt) -> Settled:
        """Return what a receipt makes of it."""
        now_ms = self._clock.now_ms()
        self.absences.appeared(lease.delivery.to)
        self._observer.sent(self._destination, (now_ms - lease.delivery.message.received_ms) / 1000)
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

    def failed(self, lease: Lease, error: BridgeError, *, is_down: bool) -> Settled:
        """Return what follows a failed send, as the policy decides; `is_down`: it is the network's fault."""
        absent = self.absences.missed(lease.delivery.to) if isinstance(error, NotThere) else 0
        decision = self._policy.after(error, attempt=lease.attempt, random=self._random, is_down=is_down, absent=absent)
        log.info(
            "delivery_put_off" if isinstance(decision, TryAgain) else "delivery_failed",
            destination=self._destination,
            delivery=lease.id,
            attempt=lease.attempt,
            reason=str(error),
        )
        if isinstance(decision, GiveUp):
            return self.buried(lease, decision.reason)
        is_waiting = isinstance(error, NotThere) or (is_down and not isinstance(error, RateLimited))
        state = State.WAITING if is_waiting else State.QUEUED
        return self.put_off(lease, decision, error, state)

    def put_off(self, lease: Lease, decision: TryAgain, error: GatewayError | str, state: State) -> Settled:
        """Return what has it tried again later; until then it is in this state."""
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

    def folded(self, lease: Lease, reason: str) -> Settled:
        """Return what ends one that is about something a digest has told."""
        change = Change(id=lease.id, state=State.FOLDED, reason=reason, at_ms=self._clock.now_ms())
        return Settled(outcome=Done(id=lease.id), change=change)

    def listening(self, lease: Lease, answer: Listen) -> Settled:
        """Return what has it wait for another box; that costs no attempt, and its story says so once."""
        before, now = self._listening.get(lease.delivery.to), (lease.id, answer.reason)
        if before == now:
            return self.give_back(lease, after_s=answer.for_s)
        self._listening.pop(lease.delivery.to, None)
        self._listening[lease.delivery.to] = now
        if len(self._listening) > MOST_LISTENING:
            del self._listening[next(iter(self._listening))]
        return self.put_off(lease, TryAgain(after_s=answer.for_s, counted=False), answer.reason, State.QUEUED)

    def said(self, lease: Lease, answer: Said, remote_id: RemoteId | None) -> Settled:
        """Return what ends one that another box said; `remote_id`: how, so that replies to it find it."""
        reason = f"already there: box {answer.by} said it"
        now_ms = self._clock.now_ms()
        change = Change(id=lease.id, state=State.CANCELLED, reason=reason, at_ms=now_ms, remote_id=remote_id)
        return Settled(outcome=Done(id=lease.id), change=change)

    def buried(self, lease: Lease, reason: str) -> Settled:
        """Return what makes it a dead letter."""
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

    def as_of_now(self, some: Sequence[Settled]) -> list[Settled]:
        """Return them with their times by the clock as it is now, wherever that was set since they were last so."""
        epoch = epoch_ms(self._clock)
        return [_as_of(settled, epoch) for settled in some]


def _as_of(settled: Settled, epoch: int) -> Settled:
    by_ms = 0 if settled.epoch_ms is None else stepped_ms(settled.epoch_ms, epoch)
    if settled.epoch_ms is not None and not by_ms:
        return settled
    change = settled.change if settled.change is None else moved_change(settled.change, by_ms)
    return Settled(outcome=moved(settled.outcome, by_ms), change=change, epoch_ms=epoch)
