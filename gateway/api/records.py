# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what the journal keeps as the API's JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fastapi import HTTPException

from gateway.ages import AGE_NAMES
from gateway.api.schemas import (
    AirtimeOut,
    ChangeOut,
    DeliveryOut,
    IdsOut,
    LocationOut,
    MessageOut,
    ShapeOut,
    WaitingOut,
)
from gateway.api.schemas_letters import DeadLetterOut
from gateway.backlog import Shape, total
from gateway.journal import DeadLetter, DeliveryRecord, MessageRecord
from gateway.model import Delivery, DeliveryId, Location, State, words_of
from gateway.outlook import Outlook, in_words
from gateway.status import BridgeStatus, Keeps


def message_out(record: MessageRecord, keeps: Keeps) -> MessageOut:
    """Write a message and what became of it."""
    message = record.message
    return MessageOut(
        id=message.id,
        seq=record.seq,
        native_id=message.native_id,
        origin=str(message.origin),
        sender_id=message.sender.id,
        sender=message.sender.name,
        kind=message.content.kind,
        text=words_of(message.content),
        location=_location(message.content) if isinstance(message.content, Location) else None,
        lane=message.lane.value,
        topic=message.topic.value,
        direct=message.direct,
        received_ms=message.received_ms,
        said_ms=message.said_ms,
        deliveries=[_delivery(one, keeps) for one in record.deliveries],
    )


def waiting_out(delivery: Delivery, state: State, keeps: Keeps, reason: str) -> WaitingOut:
    """Write a delivery that waits. `reason`: of its last change, which says why where nothing keeps its bridge."""
    message = delivery.message
    return WaitingOut(
        id=delivery.id,
        message=message.id,
        to=str(delivery.to),
        part=delivery.part,
        parts=delivery.parts,
        state=state.value,
        lane=delivery.lane.value,
        sender=message.sender.name,
        text=words_of(message.content),
        received_ms=message.received_ms,
        expires_ms=delivery.expires_ms,
        waits_for="" if state is State.SENDING else keeps(delivery.to.bridge, state) or reason,
    )


def airtime_out(one: BridgeStatus, outlook: Outlook | None) -> AirtimeOut | None:
    """Write how a bridge that schedules fares; None for others."""
    if one.schedule is None:
        return None
    air = one.schedule.airtime
    return AirtimeOut(
        used_ms=air.used_ms,
        allowed_ms=air.allowed_ms,
        window_s=air.window_s,
        busy_percent=air.busy_percent,
        held=air.held,
        held_for_s=one.schedule.held_for_s,
        refused=one.schedule.refused,
        waiting=None if outlook is None else outlook.waiting,
        priced=None if outlook is None else outlook.priced,
        cost_ms=None if outlook is None else outlook.cost_ms,
        drain_s=None if outlook is None else outlook.drain_s,
        words=in_words(one.schedule, outlook),
    )


def dead_letter_out(letter: DeadLetter) -> DeadLetterOut:
    """Write a dead letter."""
    message = letter.message
    return DeadLetterOut(
        id=letter.id,
        message=message.id,
        seq=letter.seq,
        to=str(letter.to),
        part=letter.part,
        parts=letter.parts,
        reason=letter.reason,
        failed_ms=letter.changed_ms,
        sender=message.sender.name,
        origin=str(message.origin),
        text=words_of(message.content),
    )


def shape_out(shape: Shape, now_ms: int, *, waits_for: str = "", airtime: AirtimeOut | None = None) -> ShapeOut:
    """Write one destination's row."""
    return ShapeOut(
        destination=shape.backlog.destination,
        conversation=None,
        waiting=shape.backlog.waiting,
        ages=dict(zip(AGE_NAMES, shape.ages, strict=True)),
        younger=shape.younger,
        oldest_age_s=age_s(shape.backlog.oldest_ms, now_ms),
        dead=shape.backlog.dead,
        waits_for=waits_for,
        airtime=airtime,
    )


def conversations_out(shape: Shape) -> Iterator[ShapeOut]:
    """Write the rows of a destination's conversations. Of what was not counted nobody knows whose it is."""
    for conversation, ages in shape.conversations.items():
        yield ShapeOut(
            destination=shape.backlog.destination,
            conversation=conversation,
            waiting=sum(ages),
            ages=dict(zip(AGE_NAMES, ages, strict=True)),
            younger=0,
            oldest_age_s=None,
            dead=0,
        )


def total_out(shapes: Sequence[Shape], now_ms: int) -> ShapeOut:
    """Write the row of all destinations together."""
    oldest = [one.backlog.oldest_ms for one in shapes if one.backlog.oldest_ms is not None]
    ages = total([*(one.ages for one in shapes), (0,) * len(AGE_NAMES)])
    return ShapeOut(
        destination=None,
        conversation=None,
        waiting=sum(one.backlog.waiting for one in shapes),
        ages=dict(zip(AGE_NAMES, ages, strict=True)),
        younger=sum(one.younger for one in shapes),
        oldest_age_s=age_s(min(oldest, default=None), now_ms),
        dead=sum(one.backlog.dead for one in shapes),
    )


def age_s(at_ms: int | None, now_ms: int) -> float | None:
    """Return how long ago that was; None for never."""
    return None if at_ms is None else max(0, now_ms - at_ms) / 1000


def done(ids: tuple[DeliveryId, ...], otherwise: str) -> IdsOut:
    """Write to which deliveries something was done; 404 if to none."""
    if not ids:
        raise HTTPException(404, otherwise)
    return IdsOut(ids=list(ids))


def _location(place: Location) -> LocationOut:
    return LocationOut(
        latitude=place.latitude,
        longitude=place.longitude,
        altitude_m=place.altitude_m,
        accuracy_m=place.accuracy_m,
        words=place.words,
    )


def _delivery(record: DeliveryRecord, keeps: Keeps) -> DeliveryOut:
    return DeliveryOut(
        id=record.id,
        to=str(record.to),
        part=record.part,
        parts=record.parts,
        state=record.state.value,
        reason=record.reason,
        changed_ms=record.changed_ms,
        remote_id=record.remote_id,
        history=history_out(record),
        waits_for=keeps(record.to.bridge, record.state),
    )


def history_out(record: DeliveryRecord) -> list[ChangeOut]:
    """Write every state a delivery was in."""
    return [ChangeOut(at_ms=one.at_ms, state=one.state.value, reason=one.reason) for one in record.history]
