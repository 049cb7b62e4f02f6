# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits and what failed, and what the operator can do about it."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

from gateway.ages import AGE_NAMES
from gateway.api.backlog import Shape, shapes
from gateway.api.deps import After, Limit, View, known_bridge
from gateway.api.gateway import GatewayView
from gateway.api.records import dead_letter_out, waiting_out
from gateway.api.schemas import (
    ConversationOut,
    DeadLetterPage,
    IdsOut,
    QueueOut,
    RetriedOut,
    RetryIn,
    ShapeOut,
    StoreOut,
    WaitingPage,
)
from gateway.model import BridgeName, DeliveryId, OutboxError

router = APIRouter(prefix="/api/v1", tags=["queue"])

MAX_CONVERSATIONS = 200


@router.get("/queue")
async def queue(view: View) -> QueueOut:
    """Return how much waits for each destination, by age. It answers while the queue is away too."""
    state = view.queue_state()
    now_ms = view.clock.now_ms()
    return QueueOut(
        queue=StoreOut(state=state.state.value, reason=state.reason, engine=state.engine),
        destinations=[shape_out(one, now_ms) for one in await shapes(view)],
        conversations=await _conversations(view, now_ms),
    )


@router.get("/queue/deliveries")
async def deliveries(view: View, destination: str, after: After = None, limit: Limit = 100) -> WaitingPage:
    """Return what waits for one destination, oldest first."""
    name = known_bridge(view, destination)
    batch = await view.journal.pending(name, after=after or 0, limit=limit)
    standings = await view.journal.standings([one.id for one in batch.deliveries])
    found = [
        waiting_out(one, standings[one.id].state.value if one.id in standings else "waiting")
        for one in batch.deliveries
    ]
    return WaitingPage(deliveries=found, next_after=batch.upto if len(found) >= limit else None)


@router.post("/queue/retry")
async def retry(asked: RetryIn, view: View) -> RetriedOut:
    """Try now what was to be tried later."""
    destination = None if asked.destination is None else known_bridge(view, asked.destination)
    done = await view.retry(destination=destination, ids=[DeliveryId(one) for one in asked.ids])
    return RetriedOut(destinations=list(done))


@router.post("/deliveries/{id}/cancel")
async def cancel(id: str, view: View) -> IdsOut:
    """Take a delivery that waits off the queue, for good."""
    return _done(await view.cancel([DeliveryId(id)]), f"no delivery {id!r} is waiting; it may be on its way already")


@router.get("/dead-letters")
async def dead_letters(view: View, after: After = None, limit: Limit = 100) -> DeadLetterPage:
    """Return the deliveries that failed for good, in the order their messages were accepted."""
    found = [dead_letter_out(one) for one in await view.journal.failed(limit=limit, after=after or 0)]
    return DeadLetterPage(dead_letters=found, next_after=found[-1].seq if len(found) >= limit else None)


@router.post("/dead-letters/{id}/redrive")
async def redrive(id: str, view: View) -> IdsOut:
    """Send a dead letter again, at the end of its lane."""
    return _done(await view.redrive([DeliveryId(id)]), f"there is no dead letter {id!r}")


@router.delete("/dead-letters/{id}")
async def drop(id: str, view: View) -> IdsOut:
    """Forget a dead letter. It can't be sent after that."""
    return _done(await view.drop([DeliveryId(id)]), f"there is no dead letter {id!r}")


def shape_out(shape: Shape, now_ms: int) -> ShapeOut:
    """Write one destination's row."""
    return ShapeOut(
        destination=shape.destination,
        waiting=shape.waiting,
        ages=dict(zip(AGE_NAMES, shape.ages, strict=True)),
        younger=shape.younger,
        oldest_age_s=_age_s(shape.oldest_ms, now_ms),
        dead=shape.dead,
    )


async def _conversations(view: GatewayView, now_ms: int) -> list[ConversationOut]:
    names = [BridgeName(name) for name in view.settings.bridges]
    try:
        depths = await view.outbox.depth(names, limit=MAX_CONVERSATIONS)
    except OutboxError:
        return []
    return [
        ConversationOut(
            destination=one.destination,
            lane=one.lane,
            conversation=one.conversation,
            waiting=one.waiting,
            oldest_age_s=_age_s(one.oldest_ms, now_ms),
        )
        for one in depths
    ]


def _age_s(received_ms: int | None, now_ms: int) -> float | None:
    return None if received_ms is None else max(0, now_ms - received_ms) / 1000


def _done(ids: tuple[DeliveryId, ...], otherwise: str) -> IdsOut:
    if not ids:
        raise HTTPException(404, otherwise)
    return IdsOut(ids=list(ids))
