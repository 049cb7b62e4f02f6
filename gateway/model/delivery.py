# SPDX-License-Identifier: GPL-3.0-or-later
"""One part of one message bound for one address, and what can become of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from gateway.model.message import Address, Lane, Message, MessageId, short_hash

DeliveryId = NewType("DeliveryId", str)
"""26 characters, derived from message, address and part: the same on every box and replay."""


class State(StrEnum):
    """Where a delivery is."""

    WAITING = "waiting"
    """Its route, bridge or the queue isn't there yet."""
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    """The far network's own side has it."""
    HEARD = "heard"
    """A radio neighbour relayed it."""
    DELIVERED = "delivered"
    """The far end itself acknowledged."""
    FOLDED = "folded"
    """Into a digest."""
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """A dead letter: someone can look at it and send it again."""

    @property
    def is_pending(self) -> bool:
        """Whether it still has to leave this box."""
        return self in PENDING


PENDING = frozenset({State.WAITING, State.QUEUED, State.SENDING})


def delivery_id(message: MessageId, to: Address, part: int) -> DeliveryId:
    """Return the id that every box computes for this part of this message to this address."""
    return DeliveryId(short_hash("delivery", message, str(to), str(part)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A fitted message on its way to one address."""

    message: Message
    """Fitted: its content is what this part will say."""
    to: Address
    part: int = 1
    parts: int = 1
    expires_ms: int | None = None
    direct: bool = False
    """To one person: its end is `delivered` or `failed`, not `sent`."""
    id: DeliveryId = field(init=False, repr=False, compare=False)
    """Computed from message, address and part."""
    envelope: bytes | None = field(init=False, default=None, repr=False, compare=False)
    """Its encoding, kept by who needed it first: the journal and the queue write the same."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", delivery_id(self.message.id, self.to, self.part))

    @property
    def lane(self) -> Lane:
        """The lane it waits in."""
        return self.message.lane


def key_of(delivery: DeliveryId, generation: int) -> str:
    """Return the key a delivery is sent under: stored (being derived) before the first try."""
    return f"{delivery}.{generation}"


def parse_key(key: str) -> tuple[DeliveryId, int]:
    """Read what `key_of` wrote; ValueError for anything else."""
    delivery, dot, generation = key.partition(".")
    if not dot:
        msg = "not a delivery's key"
        raise ValueError(msg)
    return DeliveryId(delivery), int(generation)
