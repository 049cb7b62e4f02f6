# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripts are told and answer. The layout is written in `common.lua`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from gateway.model import BridgeName, Delivery, DeliveryId, Lane, State
from gateway.outbox.codec import UnreadableEnvelope, decode, encode
from gateway.outbox.outbox import Buried, Depth, Done, Fate, Head, Lease, Outcome, Retry

LANES = (Lane.EMERGENCY, Lane.NORMAL, Lane.GUEST, Lane.NORMAL, Lane.GUEST)
"""By their digit in the store. The last two are direct chats': new digits, so that older queues stay valid."""

SERVED = (0, 3, 1, 4, 2)
"""The digits in the order they are served: within a lane, direct chats before channels."""

_CHANNEL = {Lane.EMERGENCY: 0, Lane.NORMAL: 1, Lane.GUEST: 2}
_DIRECT = {Lane.EMERGENCY: 0, Lane.NORMAL: 3, Lane.GUEST: 4}


def digit_of(delivery: Delivery) -> int:
    """Return the digit of the lane a delivery waits in."""
    return (_DIRECT if delivery.direct else _CHANNEL)[delivery.message.lane]


def write_body(delivery: Delivery, skew: int) -> bytes:
    """Return the stored body of a delivery: its header has the queue's times, which are ours minus the skew."""
    message, conversation = delivery.message, delivery.to.conversation.encode("utf-8", "replace")
    expires = b"" if delivery.expires_ms is None else b"%d" % (delivery.expires_ms - skew)
    received = message.received_ms - skew
    head = (digit_of(delivery), expires, received, len(conversation), conversation, encode(delivery))
    return b"%d;%s;%d;%d;%s;%s" % head


def read_body(body: bytes, skew: int) -> Delivery:
    """Return the delivery of a stored body, its times moved to the caller's clock of now.

    UnreadableEnvelope for anything that isn't one.
    """
    try:
        _, expires, received, size, rest = body.split(b";", 4)
        delivery = decode(rest[int(size) + 1 :])
        expires_ms = int(expires) + skew if expires else None
        received_ms = int(received) + skew
    except ValueError as error:
        raise UnreadableEnvelope("not a body of the queue") from error
    message = delivery.message
    if message.received_ms == received_ms and delivery.expires_ms == expires_ms:
        return delivery
    return replace(delivery, expires_ms=expires_ms, message=replace(message, received_ms=received_ms))


def read_tries(tries: bytes) -> tuple[int, int]:
    """Return attempts so far and generation."""
    attempts, _, generation = tries.partition(b";")
    return (int(attempts), int(generation)) if generation else (0, 0)


def read_pairs(flat: Sequence[bytes], skew: int) -> Iterator[tuple[str, Delivery | None]]:
    """Read id, body, id, body ...; None for a body that can't be read."""
    for id_, body in zip(flat[::2], flat[1::2], strict=True):
        try:
            yield id_.decode(), read_body(body, skew)
        except UnreadableEnvelope:
            yield id_.decode(), None


def read_depths(destination: BridgeName, flat: Sequence[bytes | int | None], skew: int) -> Iterator[Depth]:
    """Read lane, conversation, how many wait, since when; and again."""
    rows = iter(flat)
    for lane, conversation, waiting, received in zip(rows, rows, rows, rows, strict=True):
        yield Depth(
            destination=destination,
            lane=LANES[int(lane or 0)].value,
            conversation=conversation.decode("utf-8", "replace") if isinstance(conversation, bytes) else "",
            waiting=int(waiting or 0),
            oldest_ms=None if received is None else int(received) + skew,
        )


LETTERS = {
    State.SENT: "s",
    State.HEARD: "h",
    State.DELIVERED: "d",
    State.FAILED: "x",
    State.EXPIRED: "e",
    State.CANCELLED: "c",
}
_STATES = {letter: state for state, letter in LETTERS.items()}


def read_fates(flat: Sequence[bytes]) -> dict[DeliveryId, Fate]:
    """Read id, fate, id, fate ...; what still awaits a report has none yet."""
    fates: dict[DeliveryId, Fate] = {}
    for id_, fate in zip(flat[::2], flat[1::2], strict=True):
        letter, _, detail = fate.decode("utf-8", "replace").partition(";")
        if (state := _STATES.get(letter)) is not None:
            fates[DeliveryId(id_.decode())] = Fate(state=state, detail=detail)
    return fates


def read_ids(answer: Sequence[bytes]) -> tuple[DeliveryId, ...]:
    """Read ids."""
    return tuple(DeliveryId(id_.decode()) for id_ in answer)


def read_leases(
    flat: Sequence[bytes], skew: int, until_ms: int, at_hand: Mapping[DeliveryId, Delivery]
) -> tuple[tuple[Lease, ...], list[DeliveryId]]:
    """Read id, tries, body; and again. Return also the ids of those that can't be read."""
    leases, unreadable = [], []
    for raw, tries, body in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        id_ = DeliveryId(raw.decode())
        attempts, generation = read_tries(tries) if tries else (0, 0)
        try:
            delivery = at_hand.get(id_) or read_body(body, skew)
        except UnreadableEnvelope:
            unreadable.append(id_)
            continue
        leases.append(Lease(id=id_, delivery=delivery, attempt=attempts + 1, generation=generation, until_ms=until_ms))
    return tuple(leases), unreadable


Place = tuple[int, bytes, DeliveryId]
"""A lane, by its digit, a conversation, and what waits first there: what `take.lua` is told."""


def read_heads(flat: Sequence[bytes | int], skew: int) -> tuple[tuple[Head, ...], list[Place]]:
    """Read lane, conversation, id, tries, body; and again. Return also the places of those that can't be read."""
    heads, unreadable = [], []
    rows = iter(flat)
    for lane, conversation, raw, tries, body in zip(rows, rows, rows, rows, rows, strict=True):
        found, bad = read_leases([_bytes(raw), _bytes(tries), _bytes(body)], skew, 0, {})
        heads += [Head(id=one.id, delivery=one.delivery, attempt=one.attempt, queue=int(lane)) for one in found]
        unreadable += [(int(lane), _bytes(conversation), ident) for ident in bad]
    return tuple(heads), unreadable


def place_of(head: Head) -> Place:
    """Return where it waits."""
    return head.queue, head.delivery.to.conversation.encode("utf-8", "replace"), head.id


def _bytes(value: bytes | int) -> bytes:
    return value if isinstance(value, bytes) else b"%d" % value


def write_outcome(outcome: Outcome, skew: int) -> str:
    """Return what `settle.lua` is told of an outcome: its times are the queue's, which are ours minus the skew."""
    match outcome:
        case Done(awaiting_until_ms=None):
            return f"d;{outcome.id};{outcome.remote_id or ''}"
        case Done(awaiting_until_ms=until_ms):
            return f"w;{outcome.id};{(until_ms or 0) - skew};{outcome.remote_id or ''}"
        case Retry():
            return f"r;{outcome.id};{outcome.at_ms - skew};{'c' * outcome.counted}{'f' * outcome.fresh_key}"
        case Buried():
            return f"x;{outcome.id};{outcome.reason}"
