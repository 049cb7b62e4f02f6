# SPDX-License-Identifier: GPL-3.0-or-later
"""What a wall clock that was set makes of times that were written down before. Pure; all in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from gateway.journal import Change
from gateway.model import NEVER_SET_MS, Clock, Delivery, Message
from gateway.outbox.outbox import Buried, Done, Outcome, Retry

NEAR_MS = 1000
ROUNDING_MS = 2


def epoch_ms(clock: Clock) -> int:
    """Return what this clock showed when its `monotonic` was 0: changes by a step, and by nothing else."""
    return clock.now_ms() - round(clock.monotonic() * 1000)


def set_since(clock: Clock, epoch: int) -> int:
    """Return by how much the clock was set since it had this epoch."""
    return stepped_ms(epoch, epoch_ms(clock))


def stepped_ms(before: int, after: int) -> int:
    """Return by how much a clock was set between two epochs."""
    by_ms = after - before
    return by_ms if abs(by_ms) > ROUNDING_MS else 0


def moved(outcome: Outcome, by_ms: int) -> Outcome:
    """Return an outcome whose times are by a clock that was set by so much since."""
    if not by_ms:
        return outcome
    match outcome:
        case Retry():
            return replace(outcome, at_ms=outcome.at_ms + by_ms)
        case Done(awaiting_until_ms=until_ms):
            return outcome if until_ms is None else replace(outcome, awaiting_until_ms=until_ms + by_ms)
        case Buried():
            return outcome
        case _:
            assert_never(outcome)


def moved_change(change: Change, by_ms: int) -> Change:
    """Return a change whose time is by a clock that was set by so much since."""
    return replace(change, at_ms=change.at_ms + by_ms) if by_ms else change


def as_of_now(message: Message, now_ms: int, step_ms: int) -> Message:
    """Return a message that comes in now; it may have been waiting when the clock was last set, by `step_ms`.

    Of the two ages it can have, it has the smaller one. Nothing comes from the future.
    """
    age_ms, other_ms = now_ms - message.received_ms, now_ms - message.received_ms - step_ms
    if age_ms < -NEAR_MS or -NEAR_MS <= other_ms < age_ms:
        return replace(message, received_ms=min(now_ms, message.received_ms + step_ms))
    return message


def of_this_time(delivery: Delivery, now_ms: int) -> Delivery:
    """Return a delivery that an earlier run journalled by another clock as if it had come in just now.

    That is one from the future, or from before the clock was ever set: how old it is nobody knows.
    """
    received_ms = delivery.message.received_ms
    if received_ms <= now_ms and not received_ms < NEVER_SET_MS <= now_ms:
        return delivery
    by_ms = now_ms - received_ms
    expires_ms = None if delivery.expires_ms is None else delivery.expires_ms + by_ms
    return replace(delivery, expires_ms=expires_ms, message=replace(delivery.message, received_ms=now_ms))
