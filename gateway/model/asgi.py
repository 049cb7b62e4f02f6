# SPDX-License-Identifier: GPL-3.0-or-later
"""What every HTTP listener, the core's and the bridges', does with a request's body before anything reads it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]


async def read_body(receive: Receive, most_bytes: int) -> bytes | None:
    """Return the body; None if it is too long. What was cut off by a lost connection counts as it is."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most_bytes:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already, whole, and then what comes after it."""
    waiting: list[Event] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Event:
        return waiting.pop() if waiting else await receive()

    return replay
