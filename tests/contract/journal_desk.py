# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal's tests have in common: messages, deliveries, and an open journal."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

from gateway.clock import ManualClock
from gateway.journal import Change, Journal, Retention
from gateway.model import Address, Delivery, Message, NativeId, RemoteId, ResumePoint, Sender, SenderId, State, Text

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RADIO = Address.parse("radio/LongFast")
OTHER_RADIO = Address.parse("ridge/LongFast")
ROOM = Address.parse("home/#town:example.org")
LAN = Address.parse("lan/town")


@asynccontextmanager
async def opened(folder, *, clock=None, retention=None):
    clock = clock or ManualClock(START_MS)
    async with Journal(folder / "journal.db", clock=clock, retention=retention or Retention()) as journal:
        yield journal


def said(n, origin=RADIO, *, resume=None, body="is anyone there?", received_ms=START_MS, **fields):
    return Message(
        native_id=NativeId(f"mt:{n}"),
        origin=origin,
        sender=Sender(id=SenderId("!a1b2c301"), name="Ali"),
        content=Text(body=body),
        received_ms=received_ms,
        remote_id=RemoteId(f"packet-{n}"),
        resume=None if resume is None else ResumePoint(resume),
        **fields,
    )


def bound(message, to=ROOM, part=1, parts=1, **fields):
    body = f"{part}/{parts} {message.content.body}"
    # A delivery carries neither of the origin's marks: they are the journal's.
    fitted = replace(message, content=Text(body=body), resume=None, remote_id=None)
    return Delivery(message=fitted, to=to, part=part, parts=parts, **fields)


def parts_of(message, to=ROOM, parts=3):
    return [bound(message, to, part, parts) for part in range(1, parts + 1)]


def moved(delivery, state, *, at_ms=START_MS, **fields):
    return Change(id=delivery.id, state=State(state), at_ms=at_ms, **fields)


async def states(journal, *deliveries):
    found = await journal.standings([delivery.id for delivery in deliveries])
    return [found[delivery.id].state.value for delivery in deliveries]
