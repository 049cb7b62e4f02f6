# SPDX-License-Identifier: GPL-3.0-or-later
"""What `heads.lua` and `take.lua` do, in Python, on one destination of the in-memory outbox. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.model import DeliveryId
from gateway.outbox.lanes import EMERGENCY, Destination, Entry, Flight, Queue
from gateway.outbox.outbox import EXPIRED_PER_CLAIM
from gateway.outbox.records import SERVED

LEAST = 8
"""Each lane that needs them has one in so many of the places."""


def heads(here: Destination, now: int, limit: int, turn: int) -> tuple[int, list[Entry]]:
    """Return in how many conversations something is due, and what waits first in so many of them."""
    due = {lane: here.due_in(lane, now) for lane in SERVED}
    here.seen = now
    found: list[Entry] = []
    for queue in list(_chosen(due, limit, turn)):
        if len(here.gone) >= EXPIRED_PER_CLAIM:
            break
        found += here.look(queue, now, 1)
    return sum(map(len, due.values())), found


def _chosen(due: dict[int, list[Queue]], limit: int, turn: int) -> Iterator[Queue]:
    left = limit
    for at, lane in enumerate(SERVED):
        kept = sum(min(limit // LEAST, len(due[later])) for later in SERVED[at + 1 :])
        queues = _in_turn(due[lane], max(0, left - kept), turn)
        left -= len(queues)
        yield from queues


def _in_turn(due: list[Queue], room: int, turn: int) -> list[Queue]:
    if len(due) <= room:
        return due
    first = -(-room // 2)
    longest, others = due[:first], due[first:]
    start = turn * (room - first) % len(others)
    return longest + (others[start:] + others[:start])[: room - first]


def take(here: Destination, queue: Queue, ident: DeliveryId, now: int, visible: int) -> Entry | None:
    """Lease this one, if it waits first in its conversation, is due and has not expired."""
    waiting = here.queues.get(queue, [])
    if here.due.get(queue, now + 1) > now or waiting[:1] != [ident]:
        return None
    entry = here.entries[ident]
    if entry.expires is not None and entry.expires <= now and queue[0] != EMERGENCY:
        return None
    here.due[queue] = now + visible
    here.flights[queue] = Flight(1)
    return entry
