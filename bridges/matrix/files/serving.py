# SPDX-License-Identifier: GPL-3.0-or-later
"""What a browser on the LAN gets for a link: the file, or why not in plain words."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import IO, Any

import structlog
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bridges.matrix.client import Client, Refused
from bridges.matrix.files.attached import Attached
from bridges.matrix.files.fetching import Altered, TooLarge, fetched, pieces
from bridges.matrix.files.table import FileTable
from gateway.model import BridgeError, Clock, GatewayError

log = structlog.get_logger()

AT_ONCE = 4
"""Files brought and told at the same time: each takes `max_size` of the disk meanwhile."""
PIECE_WITHIN_S = 30.0
"""Who takes longer to read 64 KiB is let go."""
ASK_AGAIN_S = 10

SHOWN = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
"""What a browser may show: pictures that can hold no script. All else it may only save."""
_MISREAD = str.maketrans("oil", "011")
"""What people type for digits that look so."""
ENDINGS = SHOWN | {
    "application/pdf": "pdf",
    "application/zip": "zip",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "image/svg+xml": "svg",
    "text/plain": "txt",
    "video/mp4": "mp4",
    "video/webm": "webm",
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Serving:
    """An ASGI endpoint for ``/f/{id}``.

    Any Host is answered: against a page that rebinds its own name to this box the links protect
    themselves, for they can't be guessed, and no cookie or login comes with a request.
    """

    def __init__(
        self,
        client: Client,
        table: FileTable,
        *,
        clock: Clock,
        folder: Path,
        max_bytes: int,
        count: Callable[[str], None],
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._folder = folder
        self._max_bytes = max_bytes
        self._count = count
        self._busy = 0

    def routes(self) -> Sequence[Route]:
        """Return what an application that serves files has besides its own."""
        return (Route("/f/{id}", endpoint=self, methods=["GET"], include_in_schema=False),)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        ident = str(scope["path_params"]["id"]).lower().translate(_MISREAD)
        if self._busy >= AT_ONCE:
            await self._refuse(503, "Too many files are being fetched right now. Try again soon.", scope, receive, send)
            return
        self._busy += 1
        try:
            await self._answer(ident, scope, receive, send)
        finally:
            self._busy -= 1

    async def _answer(self, ident: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            file = await asyncio.to_thread(self._table.find, ident, now_ms=self._clock.now_ms())
            if file is None:
                await self._refuse(404, "There is no such file here, or no longer.", scope, receive, send)
                return
            async with fetched(self._client, file, folder=self._folder, max_bytes=self._max_bytes) as spool:
                if scope["method"] == "HEAD":
                    await send(_head(file, ident, os.fstat(spool.fileno()).st_size))
                    await send({"type": "http.response.body"})
                else:
                    await self._tell(file, ident, spool, receive, send)
        except (GatewayError, OSError, sqlite3.Error) as error:  # TimeoutError among them
            status, words = _verdict(error)
            log.info("matrix_file_refused", status=status, reason=str(error) or type(error).__name__)
            await self._refuse(status, words, scope, receive, send)

    async def _tell(self, file: Attached, ident: str, spool: IO[bytes], receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await send(_head(file, ident, os.fstat(spool.fileno()).st_size))
            async for piece in pieces(spool, file.cipher):
                async with asyncio.timeout(PIECE_WITHIN_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if gone.done():
                    return
            await send({"type": "http.response.body"})
            self._count("matrix_file_served")
        finally:
            gone.cancel()

    async def _refuse(self, status: int, words: str, scope: Scope, receive: Receive, send: Send) -> None:
        self._count("matrix_file_refused")
        again = {"Retry-After": str(ASK_AGAIN_S)} if status == _NOT_NOW else {}
        await PlainTextResponse(f"{words}\n", status, {**HEADERS, **again})(scope, receive, send)


_NOT_NOW = 503


def _head(file: Attached, ident: str, size: int) -> MutableMapping[str, Any]:
    is_shown = file.mimetype in SHOWN
    name = f"{ident}.{ENDINGS.get(file.mimetype, 'bin')}"
    fields = {
        "Content-Type": file.mimetype if is_shown else "application/octet-stream",
        "Content-Length": str(size),
        "Content-Disposition": f'{"inline" if is_shown else "attachment"}; filename="{name}"',
        **HEADERS,
    }
    headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _verdict(error: Exception) -> tuple[int, str]:
    """Return how a failure to bring a file is answered: nothing of what the homeserver said."""
    if isinstance(error, TooLarge):
        return 413, "This file is too large to be passed on."
    if isinstance(error, Altered):
        return 502, "This file was altered on its way."
    if isinstance(error, Refused) and error.status in (403, 404):
        return 404, "The homeserver has no such file, or no longer."
    if isinstance(error, BridgeError | TimeoutError):
        return _NOT_NOW, "The homeserver can't be reached right now. Try again later."
    return _NOT_NOW, "This box can't fetch files right now. Try again later."


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
