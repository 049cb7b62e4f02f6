# SPDX-License-Identifier: GPL-3.0-or-later
"""Server-sent events: a room's lines as they come, for one browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bridges.lan.hall import Hall, Person
from bridges.lan.page.around import Around
from bridges.lan.page.live import Listening, Live, Whispered
from bridges.lan.page.rates import Places
from bridges.lan.page.rendering import whispered
from bridges.lan.page.telling import Telling, Told
from bridges.lan.page.whispers import Whispers

PING_EVERY_S = 15.0
"""So that a reader who went away is noticed."""
TAKEN_WITHIN_S = 20.0
"""How long a reader may take to read one event before it is cut off."""
MOST_REPLAYED = 100
AT_ONCE = 4
"""Readers that get history at the same time: the others wait, so that what is new never does."""
PACE = 10
"""Lines of history that are written at once; then others have a turn."""
_AGAIN_MS = 2_000
_GAP = b"event: gap\ndata: \n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Replay:
    """What a reader missed, a little at a time."""

    def __init__(self, hall: Hall, telling: Telling) -> None:
        self._hall = hall
        self._telling = telling
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def events(self, room: str, after: int, *, again: bool) -> AsyncGenerator[Sequence[Told] | None]:
        """Yield the lines after an arrival, a few at a time. None: it is too many, the page has to be read anew.

        `again`: for a reader that was away, the last lines it has too: how far they got may have changed.
        """
        async with self._turn:
            newest = await self._hall.lines(room, limit=MOST_REPLAYED)
            if after and len(newest) == MOST_REPLAYED and newest[0].arrival > after:
                yield None
                return
            wanted = newest if again else [line for line in newest if line.arrival > after]
            for first in range(0, len(wanted), PACE):
                yield [self._telling.of(line) for line in wanted[first : first + PACE]]
                await asyncio.sleep(0)


class EventStream(Response):
    """The response. It holds its place until it ends, however it ends."""

    media_type = "text/event-stream"

    def __init__(
        self,
        live: Live,
        replay: Replay,
        places: Places,
        whispers: Whispers,
        around: Around,
        *,
        person: Person | None,
        room: str,
        prefix: str,
        after: int,
        again: bool,
        language: str,
        asked: str,
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._live = live
        self._replay = replay
        self._place = places.taken(prefix)
        self._whispers = whispers
        self._around = around
        self._person = person
        self._is_own = person is not None and person.id == room
        self._room = room
        self._last = after
        self._again = again
        self._language = language, asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side ends it, or the reader is too slow."""
        del scope
        with self._place, self._live.listening(self._room) as listening:
            gone = asyncio.create_task(_gone(receive))
            sending = asyncio.create_task(self._send(listening, send))
            hearing = asyncio.create_task(self._hear(listening))
            try:
                await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            except TimeoutError:
                return  # it doesn't read; nothing more can be said to it
            finally:
                gone.cancel()
                sending.cancel()
                hearing.cancel()
                await asyncio.gather(gone, sending, hearing, return_exceptions=True)

    async def _hear(self, listening: Listening) -> None:
        """Hear what is said to the reader alone, where this isn't the room for that."""
        if self._person is not None and not self._is_own:
            async with aclosing(self._whispers.counts(self._person)) as counts:
                async for count in counts:
                    listening.put(Whispered(count))

    async def _send(self, listening: Listening, send: Send) -> None:
        await _within(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _body(send, f"retry: {_AGAIN_MS}\n\n".encode())
        async with aclosing(self._replay.events(self._room, self._last, again=self._again)) as lines:
            async for some in lines:
                await _body(send, _GAP if some is None else b"".join(self._event(told) for told in some))
        while True:
            if changed := self._around.changed(asyncio.get_running_loop().time()):
                await _body(send, changed)
            try:
                async with asyncio.timeout(PING_EVERY_S):
                    news = await listening.next()
            except TimeoutError:
                await _body(send, b": ping\n\n")
                continue
            if news is None:
                await _body(send, b"", more=False)
                return
            await _body(send, self._event(news) if isinstance(news, Told) else self._hint(news))

    def _hint(self, news: Whispered) -> bytes:
        words = {"count": news.count, "words": whispered(self._language[0], news.count)}
        return f"event: whisper\ndata: {json.dumps(words)}\n\n".encode()

    def _event(self, told: Told) -> bytes:
        # A line that changed is an old one: the browser still goes on from the newest it has.
        self._last = max(self._last, told.line.arrival)
        if self._person is not None and self._is_own:
            self._whispers.seen(self._person, self._last)
        return f"id: {self._last}\n".encode() + told.data(*self._language) + b"\n"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(send: Send, content: bytes, *, more: bool = True) -> None:
    await _within(send, {"type": "http.response.body", "body": content, "more_body": more})


async def _within(send: Send, message: dict[str, object]) -> None:
    async with asyncio.timeout(TAKEN_WITHIN_S):
        await send(message)
