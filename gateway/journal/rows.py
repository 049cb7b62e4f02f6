# SPDX-License-Identifier: GPL-3.0-or-later
"""Between records and rows: what is computed before it reaches the writer's thread. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.journal.records import Change, DeliveryRecord, StateChange
from gateway.model import (
    PENDING,
    Address,
    BridgeName,
    Delivery,
    DeliveryId,
    Message,
    MessageId,
    RemoteId,
    ResumePoint,
    State,
)
from gateway.outbox.codec import decode, decode_message, encode, encode_message

PLACE_BITS = 12
PLACES = 1 << PLACE_BITS
"""Deliveries one message may have."""

WHOLE_HISTORY = 2048
"""Characters of history that are surely all there was: beyond, the store leaves some out."""

MOST_REASON = 300
"""Characters of a reason that are kept."""

WITHOUT_BODY = frozenset({State.DELIVERED, State.EXPIRED, State.CANCELLED, State.FOLDED})
"""States after which a delivery is never sent again. SENT is none: a late report may ask for another try."""

Row = tuple[Any, ...]

ID, STATE, AT, REMOTE_ID, GENERATION, ENDS, LINE, ONLY_FROM, ALSO, BEFORE, BEFORE_FROM, AFRESH = range(12)
"""Places in a change's row. The last three are of one that was merged into it."""
_PENDING = frozenset(state.value for state in PENDING)
_ALONE: Row = (None, None, 0)
"""Of a change that has no other merged into it: none before it, and it doesn't begin another try."""


# Not frozen: one of each is made a message, nobody else sees them, and frozen ones take twice as long to make.
@dataclass(slots=True, kw_only=True)
class NewDelivery:
    """A delivery's part of an accept."""

    id: DeliveryId
    to: Address
    part: int
    parts: int
    expires_ms: int | None
    state: State
    at_ms: int
    line: str
    body: str | None


@dataclass(slots=True, kw_only=True)
class NewMessage:
    """A message as it is written."""

    id: MessageId
    origin: Address
    remote_id: RemoteId | None
    received_ms: int
    envelope: str
    resume: ResumePoint | None
    deliveries: tuple[NewDelivery, ...]
    at_ms: int
    era: int


def new_message(
    message: Message,
    deliveries: Sequence[Delivery],
    ended: Sequence[tuple[Delivery, State, str]],
    at_ms: int,
    era: int = 0,
) -> NewMessage:
    """Encode everything one accept writes. `era`: how often the clock has been set by now."""
    waiting = [new_delivery(delivery, State.WAITING, "", at_ms) for delivery in deliveries]
    over = [new_delivery(delivery, state, reason, at_ms) for delivery, state, reason in ended]
    return NewMessage(
        id=message.id,
        origin=message.origin,
        remote_id=message.remote_id,
        received_ms=message.received_ms,
        envelope=encode_message(message).decode(),
        resume=message.resume,
        deliveries=tuple(_parts_in_order(waiting) + over),
        at_ms=at_ms,
        era=era,
    )


def _parts_in_order(news: list[NewDelivery]) -> list[NewDelivery]:
    """Sort the parts for each address, the addresses as they came."""
    if len(news) < 2:  # noqa: PLR2004 - one is in order
        return news
    nth = {to: n for n, to in enumerate(dict.fromkeys(new.to for new in news))}
    return sorted(news, key=lambda new: (nth[new.to], new.part))


def new_delivery(delivery: Delivery, state: State, reason: str, at_ms: int) -> NewDelivery:
    """Encode one delivery in its first state."""
    return NewDelivery(
        id=delivery.id,
        to=delivery.to,
        part=delivery.part,
        parts=delivery.parts,
        expires_ms=delivery.expires_ms,
        state=state,
        at_ms=at_ms,
        line=line(at_ms, state, reason),
        body=None if state in WITHOUT_BODY else encode(delivery).decode(),
    )


def change_row(change: Change) -> Row:
    """Return a change as the store's statement takes it; a string that isn't Unicode is made so."""
    remote_id = None if change.remote_id is None else clean(change.remote_id)
    return (
        change.id,
        change.state.value,
        change.at_ms,
        remote_id,
        change.generation,
        int(change.state in WITHOUT_BODY),
        line(change.at_ms, change.state, change.reason),
        None if change.only_from is None else _one_of(change.only_from),
        change.also,
        *_ALONE,
    )


def merged(earlier: Row, later: Row) -> Row | None:
    """Return two changes of one delivery as one that does what both did; None where there is none.

    The later one must be unconditional, and the earlier one leave the delivery still to be sent. Who is
    called something new by one of them has a row of its own.
    """
    if later[ONLY_FROM] is not None or later[BEFORE] or earlier[STATE] not in _PENDING:
        return None
    if earlier[ALSO] is not None or later[ALSO] is not None or earlier[REMOTE_ID] not in {None, later[REMOTE_ID]}:
        return None
    if earlier[ONLY_FROM] is not None and earlier[GENERATION] is not None:
        return None
    if earlier[ONLY_FROM] is not None:
        return (*later[:BEFORE], earlier[LINE], earlier[ONLY_FROM], later[AFRESH])
    ident, state, at_ms, remote_id, generation, ends, words, *_ = later
    return (
        ident,
        state,
        at_ms,
        remote_id,
        earlier[GENERATION] if generation is None else generation,
        max(ends, earlier[ENDS]),
        earlier[LINE] + words,
        None,
        None,
        earlier[BEFORE],
        earlier[BEFORE_FROM],
        1,
    )


def _one_of(states: State | frozenset[State]) -> str:
    """Return states as the store's statement looks them up: each between commas."""
    some = (states,) if isinstance(states, State) else sorted(states)
    return f",{','.join(state.value for state in some)},"


def clean(text: str) -> str:
    """Return what SQLite can store: networks send half characters, and one must not spoil a batch."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def line(at_ms: int, state: State, reason: str) -> str:
    """Return one line of history."""
    # SQLite's functions take a NUL for the end.
    words = clean(reason[:MOST_REASON]).replace("\n", " ").replace("\0", " ")
    return f"{at_ms} {state.value} {words}\n"


def history(text: str) -> tuple[StateChange, ...]:
    """Read lines of history."""
    return tuple(_changes(text))


def _changes(text: str) -> Iterable[StateChange]:
    for entry in text.split("\n"):
        at_ms, _, rest = entry.partition(" ")
        state, _, reason = rest.partition(" ")
        if state:
            yield StateChange(at_ms=int(at_ms), state=State(state), reason=reason)


def tried_ms(text: str) -> int | None:
    """Return since when what has this history may have been sent; None: it never was tried."""
    entries = tuple(_changes(text))
    tries = (entry.at_ms for entry in entries if entry.state is State.SENDING)
    first = next(tries, None)
    # Of a long history the middle is left out, and the first try may have been there.
    return entries[0].at_ms if first is not None and len(text) >= WHOLE_HISTORY else first


def shifted(text: str, since_ms: int, delta_ms: int) -> str:
    """Move the latest lines of history: those since `since_ms`, back to where an earlier run's clock shows."""
    entries = list(_changes(text))
    keep = len(entries)
    until_ms = entries[-1].at_ms if entries else 0
    while keep and since_ms <= entries[keep - 1].at_ms <= until_ms:
        keep -= 1
        until_ms = entries[keep].at_ms
    moved = entries[:keep] + [replace(entry, at_ms=entry.at_ms + delta_ms) for entry in entries[keep:]]
    return "".join(line(entry.at_ms, entry.state, entry.reason) for entry in moved)


def message_of(envelope: str, received_ms: int) -> Message:
    """Read a message; UnreadableEnvelope if this release can't."""
    message = decode_message(envelope.encode())
    return message if message.received_ms == received_ms else replace(message, received_ms=received_ms)


def delivery_of(body: str, expires_ms: int | None, received_ms: int) -> Delivery:
    """Read a delivery; UnreadableEnvelope if this release can't."""
    delivery = decode(body.encode())
    if delivery.message.received_ms != received_ms:
        delivery = replace(delivery, message=replace(delivery.message, received_ms=received_ms))
    return delivery if delivery.expires_ms == expires_ms else replace(delivery, expires_ms=expires_ms)


RECORD = (
    "d.id",
    "a.bridge",
    "a.conversation",
    "d.part",
    "d.parts",
    "d.state",
    "d.changed_ms",
    "d.remote_id",
    "d.history",
)
"""The columns `delivery_record` reads, of delivery d and address a."""


def delivery_record(row: Sequence[Any]) -> DeliveryRecord:
    """Read the columns of `RECORD`."""
    ident, bridge, conversation, part, parts, state, changed_ms, remote_id, lines = row
    changes = history(lines)
    return DeliveryRecord(
        id=DeliveryId(ident),
        to=Address(BridgeName(bridge), conversation),
        part=part,
        parts=parts,
        state=State(state),
        reason=changes[-1].reason if changes else "",
        changed_ms=changed_ms,
        remote_id=None if remote_id is None else RemoteId(remote_id),
        history=changes,
    )
