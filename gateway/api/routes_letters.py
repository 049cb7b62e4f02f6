# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead letters: what failed for good, until someone sends it again or drops it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from gateway.api.deps import Before, Limit, View, known_bridge
from gateway.api.gateway import GatewayView
from gateway.api.records import dead_letter_out, done, history_out
from gateway.api.schemas import IdsOut
from gateway.api.schemas_letters import (
    MAX_REASON,
    CostOut,
    DeadLetterPage,
    DeadLetterWithHistory,
    DroppedOut,
    LettersIn,
    PriceOut,
    RedriveIn,
    RedriveOut,
)
from gateway.costs import Price
from gateway.journal import DeadLetter, DeadLetters
from gateway.journal.overview import LAST
from gateway.model import DeliveryId, State
from gateway.redrive import Progress, Redriving

router = APIRouter(prefix="/api/v1/dead-letters", tags=["dead letters"])

DROPPED_AT_ONCE = 500
Reason = Annotated[str, Query(max_length=MAX_REASON, description="Words in their reason")]


@router.get("")
async def dead_letters(
    view: View, destination: str | None = None, reason: Reason = "", before: Before = None, limit: Limit = 100
) -> DeadLetterPage:
    """Return the deliveries that failed for good; those whose messages were accepted last come first.

    `reason`: only those with these words in their reason. A page may be short, or empty, and yet not the last.
    """
    which = _which(view, LettersIn(destination=destination, reason=reason))
    page = await view.journal.overview.letters(which, before=before or LAST, limit=limit)
    return DeadLetterPage(dead_letters=[dead_letter_out(one) for one in page.letters], next_before=page.following)


@router.post("/price")
async def price(asked: LettersIn, view: View) -> PriceOut:
    """Return what sending these again would cost, on the air too. Nothing is sent."""
    return _price_out(await view.price(_which(view, asked)))


@router.post("/redrive", status_code=202)
async def redrive_many(asked: RedriveIn, view: View) -> RedriveOut:
    """Begin to send these again, at a pace. The gateway goes on by itself, also after a restart."""
    which = _which(view, asked)
    wanted = await view.price(which)
    if missing := len(which.ids) - wanted.total if which.ids else not wanted.total:
        reason = (
            f"of these {len(which.ids)}, {missing} are no dead letters" if which.ids else "there are no dead letters"
        )
        raise HTTPException(404, f"{reason}; nothing is sent again")
    try:
        return _progress_out(await view.redrives.start(which, asked.per_minute, wanted.total))
    except Redriving as error:
        raise HTTPException(409, str(error)) from error


@router.get("/redrive")
async def progress(view: View) -> RedriveOut | None:
    """Return how far that is, or how the last one ended; null: there was none."""
    return None if view.redrives.progress is None else _progress_out(view.redrives.progress)


@router.delete("/redrive")
async def stop(view: View) -> RedriveOut | None:
    """Stop it where it is."""
    if not await view.redrives.stop():
        raise HTTPException(404, "no dead letters are being sent again")
    return await progress(view)


@router.post("/drop")
async def drop_many(asked: LettersIn, view: View) -> DroppedOut:
    """Forget these, some hundreds at a time. They can't be sent after that."""
    page = await view.journal.overview.letters(_which(view, asked), after=0, limit=DROPPED_AT_ONCE)
    dropped = await view.drop([letter.id for letter in page.letters])
    return DroppedOut(ids=list(dropped), more=page.following is not None)


@router.get("/{id}")
async def dead_letter(id: str, view: View) -> DeadLetterWithHistory:
    """Return one dead letter with every state it was in."""
    kept = await view.journal.delivery(DeliveryId(id))
    if kept is None or kept.record.state is not State.FAILED:
        raise HTTPException(404, f"there is no dead letter {id!r}")
    record = kept.record
    letter = DeadLetter(
        id=record.id,
        message=kept.message,
        seq=kept.seq,
        to=record.to,
        part=record.part,
        parts=record.parts,
        reason=record.reason,
        changed_ms=record.changed_ms,
    )
    return DeadLetterWithHistory(**dead_letter_out(letter).model_dump(), history=history_out(record))


@router.post("/{id}/redrive")
async def redrive(id: str, view: View) -> IdsOut:
    """Send a dead letter again at once, at the end of its lane."""
    return done(await view.redrive([DeliveryId(id)]), f"there is no dead letter {id!r}")


@router.delete("/{id}")
async def drop(id: str, view: View) -> IdsOut:
    """Forget a dead letter. It can't be sent after that."""
    return done(await view.drop([DeliveryId(id)]), f"there is no dead letter {id!r}")


def _which(view: GatewayView, asked: LettersIn) -> DeadLetters:
    destination = None if asked.destination is None else known_bridge(view, asked.destination)
    return DeadLetters(destination=destination, reason=asked.reason, ids=frozenset(map(DeliveryId, asked.ids)))


def _price_out(found: Price) -> PriceOut:
    rows = [
        CostOut(
            destination=one.destination,
            letters=one.letters,
            deliveries=one.deliveries,
            unfit=one.unfit,
            airtime_s=None if one.airtime_ms is None else one.airtime_ms / 1000,
            basis=one.basis,
        )
        for one in found.costs
    ]
    return PriceOut(total=found.total, complete=found.complete, destinations=rows)


def _progress_out(job: Progress) -> RedriveOut:
    return RedriveOut(
        running=job.ended_ms is None,
        began_ms=job.began_ms,
        ended_ms=job.ended_ms,
        per_minute=job.per_minute,
        total=job.total,
        sent=job.sent,
        left=job.left,
        held=job.held,
    )
