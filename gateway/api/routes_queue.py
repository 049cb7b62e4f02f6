# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits, and what the operator can do about it."""

from __future__ import annotations

from enum import StrEnum

from fastapi import APIRouter, HTTPException

from gateway.api.deps import After, Limit, View, known_bridge
from gateway.api.gateway import GatewayView
from gateway.api.records import (
    age_s,
    airtime_out,
    conversations_out,
    done,
    message_out,
    shape_out,
    total_out,
    waiting_out,
)
from gateway.api.schemas import (
    IdsOut,
    LaneOut,
    MessageOut,
    QueueOut,
    RetriedOut,
    RetryIn,
    StoreOut,
    WaitingPage,
)
from gateway.backlog import shapes
from gateway.journal import MessageRecord
from gateway.model import BridgeName, DeliveryId, OutboxError, State
from gateway.status import keeps_of

router = APIRouter(prefix="/api/v1", tags=["queue"])

MAX_LANES = 200


class By(StrEnum):
    """What there is a row for."""

    DESTINATION = "destination"
    CONVERSATION = "conversation"


@router.get("/queue")
async def queue(view: View, by: By = By.DESTINATION) -> QueueOut:
    """Return how much waits, by age. It answers while the queue is away too."""
    state = view.queue_state()
    now_ms = view.clock.now_ms()
    rows = await shapes(view, by_conversation=by is By.CONVERSATION)
    bridges = view.bridges()
    keeps, outlooks = keeps_of(bridges, state), await view.outlooks()
    airtimes = {one.name: airtime_out(one, outlooks.get(one.name)) for one in bridges}
    return QueueOut(
        queue=StoreOut(state=state.state.value, reason=state.reason, engine=state.engine),
        total=total_out(rows, now_ms),
        destinations=[
            shape_out(one, now_ms, waits_for=keeps(name, State.WAITING), airtime=airtimes.get(name))
            for one in rows
            for name in (one.backlog.destination,)
        ],
        conversations=[row for one in rows for row in conversations_out(one)],
        lanes=await _lanes(view, now_ms),
    )


@router.get("/queue/deliveries")
async def deliveries(view: View, destination: str, after: After = None, limit: Limit = 100) -> WaitingPage:
    """Return what waits for one destination, oldest first."""
    name = known_bridge(view, destination)
    batch = await view.journal.pending(name, after=after or 0, limit=limit)
    ids = [one.id for one in batch.deliveries]
    standings, reasons = await view.journal.standings(ids), await view.journal.reasons(ids)
    keeps = keeps_of(view.bridges(), view.queue_state())
    found = [
        waiting_out(
            one, standings[one.id].state if one.id in standings else State.WAITING, keeps, reasons.get(one.id, "")
        )
        for one in batch.deliveries
    ]
    return WaitingPage(deliveries=found, next_after=batch.upto if len(found) >= limit else None)


@router.post("/queue/retry")
async def retry(asked: RetryIn, view: View) -> RetriedOut:
    """Try now what was to be tried later."""
    destination = None if asked.destination is None else known_bridge(view, asked.destination)
    done = await view.retry(destination=destination, ids=[DeliveryId(one) for one in asked.ids])
    return RetriedOut(destinations=list(done))


@router.get("/deliveries/{id}")
async def delivery(id: str, view: View) -> MessageOut:
    """Return one delivery with every change of state: its message, and of its deliveries only this."""
    kept = await view.journal.delivery(DeliveryId(id))
    if kept is None:
        raise HTTPException(404, f"there is no delivery {id!r}, or no more")
    record = MessageRecord(message=kept.message, seq=kept.seq, deliveries=(kept.record,))
    return message_out(record, keeps_of(view.bridges(), view.queue_state()))


@router.post("/deliveries/{id}/cancel")
async def cancel(id: str, view: View) -> IdsOut:
    """Take a delivery that waits off the queue, for good."""
    return done(await view.cancel([DeliveryId(id)]), f"no delivery {id!r} is waiting; it may be on its way already")


async def _lanes(view: GatewayView, now_ms: int) -> list[LaneOut]:
    names = [BridgeName(name) for name in view.settings.bridges]
    try:
        depths = await view.outbox.depth(names, limit=MAX_LANES)
    except OutboxError:
        return []
    return [
        LaneOut(
            destination=one.destination,
            lane=one.lane,
            conversation=one.conversation,
            waiting=one.waiting,
            oldest_age_s=age_s(one.oldest_ms, now_ms),
        )
        for one in depths
    ]
