# SPDX-License-Identifier: GPL-3.0-or-later
"""From a message's record to what became of it, in short. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from gateway.changes import COME_TOO_LATE
from gateway.journal import DeliveryRecord, MessageRecord
from gateway.model import Address, BridgeName, Edit, Leg, Progress, Reaction, Redaction, State

_WORST_FIRST = (
    State.FAILED,
    State.EXPIRED,
    State.WAITING,
    State.QUEUED,
    State.SENDING,
    State.FOLDED,
    State.SENT,
    State.HEARD,
    State.DELIVERED,
    State.CANCELLED,
)
"""Of several parts, the one that comes first here says how the whole stands."""


def progress_of(
    record: MessageRecord,
    *,
    is_direct: Callable[[Address], bool],
    trouble: Callable[[BridgeName], str],
    held: Callable[[BridgeName], str] = lambda _: "",
) -> Progress | None:
    """Return what became of a message; None if its network has no name for it, so nothing can be shown at it.

    `trouble`: why a bridge can't send now, in words; empty if it can. `held`: why it lets nothing out, though it could.
    """
    message = record.message
    if message.remote_id is None:
        return None
    by_address = groupby(sorted(record.deliveries, key=_address), key=_address)
    grouped = [list(parts) for _, parts in by_address]
    legs = [_leg(parts, is_direct, trouble, held) for parts in grouped]
    content = message.content
    return Progress(
        message_id=message.id,
        at=message.origin,
        remote_id=message.remote_id,
        seq=record.seq,
        received_ms=message.received_ms,
        kind=content.kind,
        legs=tuple(leg for leg in legs if leg.state is not State.CANCELLED),
        late=tuple(leg for leg in legs if leg.state is State.CANCELLED and leg.reason in COME_TOO_LATE),
        stopped=tuple(_stopped(leg, parts) for leg, parts in zip(legs, grouped, strict=True) if _is_stopped(leg)),
        about=content.target if isinstance(content, Edit | Reaction | Redaction) else None,
    )


def lately(records: Iterable[MessageRecord], since_ms: int) -> list[MessageRecord]:
    """Return the messages that still wait, or of which something became since then."""
    return [
        record
        for record in records
        if any(one.state.is_pending or one.changed_ms >= since_ms for one in record.deliveries)
    ]


def _is_stopped(leg: Leg) -> bool:
    return leg.state is State.CANCELLED and bool(leg.reason) and leg.reason not in COME_TOO_LATE


def _stopped(leg: Leg, parts: Sequence[DeliveryRecord]) -> Leg:
    said_by_another = all(part.remote_id is not None for part in parts)
    return replace(leg, state=State.SENT) if said_by_another else leg


def _address(delivery: DeliveryRecord) -> tuple[str, str]:
    return (delivery.to.bridge, delivery.to.conversation)


def _leg(
    parts: Sequence[DeliveryRecord],
    is_direct: Callable[[Address], bool],
    trouble: Callable[[BridgeName], str],
    held: Callable[[BridgeName], str],
) -> Leg:
    worst = min(parts, key=lambda part: _WORST_FIRST.index(part.state))
    to = worst.to
    reason, cut = worst.reason, ""
    if worst.state.is_pending:
        # One that waits for its conversation is not among those that are held back.
        held_back = "" if worst.state is State.WAITING and reason else held(to.bridge)
        cut = trouble(to.bridge)
        reason = cut or held_back or reason
    return Leg(to=to, state=worst.state, reason=reason, direct=is_direct(to), cut=bool(cut))
