# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens, as it happens: server-sent events. No message text in them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.api.deps import View
from gateway.status import Event, Subscription

PING_EVERY_S = 15.0
"""So that a listener who went away is noticed, and proxies keep the connection."""

MOST_PER_PEER = 8
"""Streams of one address: nobody takes all the places there are."""

router = APIRouter(prefix="/api/v1", tags=["events"])


@router.get("/events", response_class=StreamingResponse)
async def events(request: Request, view: View) -> StreamingResponse:
    """Stream events until either side ends it. `dropped` says how many a slow listener has missed."""
    places: Places = request.app.state.places
    peer = request.client.host if request.client else ""
    places.refuse_if_full(peer)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return _Stream(view.events.subscribe(), headers, places, peer)


class Places:
    """How many streams each address has. The private socket has no addresses, and no limit here."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def refuse_if_full(self, peer: str) -> None:
        """Raise a 429 if this address has as many as it may."""
        if peer and self._taken[peer] >= MOST_PER_PEER:
            raise HTTPException(429, f"{MOST_PER_PEER} event streams go to {peer} already; close one")

    @contextmanager
    def taken(self, peer: str) -> Iterator[None]:
        """Hold one place."""
        self._taken[peer] += 1
        try:
            yield
        finally:
            self._taken -= Counter((peer,))  # and forgets whoever has none


class _Stream(StreamingResponse):
    """Gives the listener's place back however it ends, also before it began."""

    def __init__(self, subscription: Subscription, headers: dict[str, str], places: Places, peer: str) -> None:
        super().__init__(stream(subscription, PING_EVERY_S), media_type="text/event-stream", headers=headers)
        self._subscription = subscription
        self._place = places.taken(peer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._subscription, self._place:
            await super().__call__(scope, receive, send)


async def stream(subscription: Subscription, ping_every_s: float) -> AsyncGenerator[bytes]:
    """Write a subscription's events as server-sent events, with a comment now and then, until it ends."""
    yield b": listening\n\n"
    while True:
        try:
            async with asyncio.timeout(ping_every_s):
                event = await anext(subscription)
        except TimeoutError:
            yield b": ping\n\n"
        except StopAsyncIteration:
            yield b"event: end\ndata: {}\n\n"
            return
        else:
            yield _written(event)


def _written(event: Event) -> bytes:
    data = json.dumps(dict(event.data), ensure_ascii=False, default=str)
    return f"event: {event.name}\ndata: {data}\n\n".encode()
