# SPDX-License-Identifier: GPL-3.0-or-later
"""``where``: what became of a message, in every conversation it was for, and why. The promise, kept to its sender."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from gateway.ages import lasted
from gateway.desk.visit import Visit
from gateway.desk.words import ago, answer
from gateway.journal import DeliveryRecord, MessageRecord, Messages
from gateway.model import PENDING, Declined, DeliveryId, MessageId, RemoteId, State
from gateway.status import keeps_of
from gateway.wording import shown

LOOKED_AT = 200
"""Messages among which the asker's last is looked for."""


async def where(visit: Visit) -> str:
    """Say every state that each delivery of a message was in."""
    if len(visit.rest) != 1:
        raise Declined("say which message: where ID, or where last for your own last one here")
    (word,) = visit.rest
    record = await (_last(visit) if word.casefold() == "last" else _found(visit, word))
    if record is None:
        raise Declined(f"no message {shown(word)!r} is known here, or it is forgotten by now")
    return answer(list(_told(record, visit)))


async def _last(visit: Visit) -> MessageRecord | None:
    """Return the last that the asker said in this conversation; in private, that they said anywhere."""
    asked = visit.asked
    which = Messages() if asked.private else Messages(address=asked.at)
    found = await visit.running.journal.overview.messages(which, limit=LOOKED_AT)
    mine = [one for one in found.messages if one.message.sender.id == asked.sender]
    here = mine if asked.private else [one for one in mine if one.message.origin == asked.at]
    if not here:
        raise Declined("nothing that you said " + ("" if asked.private else f"in {asked.at} ") + "lately is known")
    return here[-1]


async def _found(visit: Visit, word: str) -> MessageRecord | None:
    """Find it by our id, by a delivery's, or by what it is called in the conversation where it is asked for."""
    journal = visit.running.journal
    record = await journal.message(MessageId(word))
    if record is None and (kept := await journal.delivery(DeliveryId(word))) is not None:
        record = await journal.message(kept.message.id)
    if record is None and (origin := await journal.find(visit.asked.at, RemoteId(word))) is not None:
        record = await journal.message(origin.message_id)
    return record if record is not None and _may_know(visit, record) else None


def _may_know(visit: Visit, record: MessageRecord) -> bool:
    message = record.message
    ways = [message.origin, *(one.to for one in record.deliveries)]
    return message.sender.id == visit.asked.sender or any(visit.sees_way(message.origin, to) for to in ways)


def _told(record: MessageRecord, visit: Visit) -> Iterator[str]:
    message = record.message
    lane = "" if message.lane.value == "normal" else f", {message.lane.value}"
    when = ago(message.received_ms, visit.now_ms)
    yield f"{message.id} of {message.sender.name} in {message.origin}, received {when}{lane}"
    if not record.deliveries:
        yield "it goes nowhere else: no route leads on from where it was said"
    is_own = message.sender.id == visit.asked.sender
    for one in record.deliveries:
        if is_own or visit.sees_way(message.origin, one.to):
            yield story(one, visit.now_ms) + _gone(one, visit) + _kept(one, visit)


def _gone(one: DeliveryRecord, visit: Visit) -> str:
    bridge = one.to.bridge
    waits_in_vain = one.state in PENDING and bridge not in visit.running.settings.bridges
    return f"; no bridge called {bridge} is configured any more" if waits_in_vain else ""


def _kept(one: DeliveryRecord, visit: Visit) -> str:
    """Say what keeps one that waits, where that isn't the reason of its state."""
    keeps = keeps_of(visit.running.bridges(), visit.running.queue_state())(one.to.bridge, one.state)
    return f"; it waits for: {keeps}" if keeps and keeps != one.reason else ""


def story(one: DeliveryRecord, now_ms: int) -> str:
    """Write the state a delivery is in, since when and why, and those before it, the first of them first."""
    part = f" {one.part}/{one.parts}" if one.parts > 1 else ""
    since = ago(one.changed_ms, now_ms)
    if one.state in PENDING:
        since = f"for {lasted(now_ms - one.changed_ms)} so far"
    before = ", ".join(_before(one))
    return f"{one.to}{part}: {_state(one.state, one.reason)} {since}" + (f"; before that {before}" if before else "")


def _before(one: DeliveryRecord) -> Iterator[str]:
    for change, following in pairwise(one.history):
        yield f"{_state(change.state, change.reason)} for {lasted(following.at_ms - change.at_ms)}"


def _state(state: State, reason: str) -> str:
    return state.value + (f" ({reason})" if reason else "")
