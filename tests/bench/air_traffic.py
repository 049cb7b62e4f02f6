# SPDX-License-Identifier: GPL-3.0-or-later
"""What people want to say over a radio in a day: many rooms and senders, guests, emergencies, one who never stops."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.model import (
    Address,
    BridgeName,
    Content,
    Delivery,
    Lane,
    Message,
    NativeId,
    RemoteId,
    Sender,
    SenderId,
    Text,
)

RADIO = BridgeName("radio")
ROOMS = ("LongFast", "Town", "River", "Market", "School", "Watch")
NODES = ("!a1b2c301", "!a1b2c302", "!a1b2c303")
SENDERS = 40
CHATTY_ROOM, CHATTY = "Town", 0.3
EXPIRES_S = 2 * 3600.0
MEAN_COST_S = 0.93
"""What one of these takes on the air on LONG_FAST, by and large."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is said, and for how long."""

    hours: float
    seed: int
    every_s: float
    """Between two messages, on average."""
    emergency_every_s: float = 1800.0


def traffic(plan: Plan) -> Iterator[tuple[float, Delivery]]:
    """Yield (when, what) in the order of time."""
    chance = random.Random(plan.seed)
    now, emergency_at, number = 0.0, chance.expovariate(1 / plan.emergency_every_s), 0
    while now < plan.hours * 3600:
        number += 1
        now += chance.expovariate(1 / plan.every_s)
        if now >= emergency_at:
            emergency_at = now + chance.expovariate(1 / plan.emergency_every_s)
            yield now, _delivery(chance, number, now, Lane.EMERGENCY)
            continue
        yield now, _delivery(chance, number, now, Lane.GUEST if chance.random() < 0.2 else Lane.NORMAL)


def _delivery(chance: random.Random, number: int, now: float, lane: Lane) -> Delivery:
    to = _address(chance, lane)
    is_chatty = chance.random() < CHATTY
    sender = 0 if is_chatty and lane is Lane.NORMAL else chance.randrange(1, SENDERS)
    message = Message(
        native_id=NativeId(f"mx:$day{number}"),
        origin=Address(BridgeName("home"), f"#{to.conversation}"),
        sender=Sender(id=SenderId(f"@p{sender}:example.org"), name=f"P{sender}"),
        content=_content(chance, number),
        received_ms=round(now * 1000),
        reply_to=RemoteId(f"{chance.randrange(1, 2**32):08x}") if chance.random() < 0.2 else None,
        lane=lane,
    )
    return Delivery(
        message=message, to=to, expires_ms=None if lane is Lane.EMERGENCY else round((now + EXPIRES_S) * 1000)
    )


def _address(chance: random.Random, lane: Lane) -> Address:
    if chance.random() < 0.03 and lane is Lane.NORMAL:
        return Address(RADIO, chance.choice(NODES))
    return Address(RADIO, CHATTY_ROOM if chance.random() < CHATTY else chance.choice(ROOMS))


def _content(chance: random.Random, number: int) -> Content:
    words = f"{number} " + "x" * chance.randrange(10, 100)
    return Text(body=words)
