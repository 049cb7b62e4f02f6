# SPDX-License-Identifier: GPL-3.0-or-later
"""What those cost who are past the handshake: how many connections each box holds, and what nonsense is noted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MOST_CONNECTIONS = 32
"""Of one key. A box has one to each of our addresses, some more after cuts that none was told of, and may be cloned."""


class Staying:
    """The connections of each key. Bounded by which keys are let in."""

    def __init__(self, count: Callable[[str], None], *, most: int = MOST_CONNECTIONS) -> None:
        """`count`: one more that was hung up on."""
        self._count = count
        self._most = most
        self._of: dict[bytes, list[asyncio.Transport]] = {}

    def came(self, key: Ed25519PublicKey, transport: asyncio.Transport) -> None:
        """Have one more; past the bound the oldest goes, which more likely than any is dead."""
        name = key.public_bytes_raw()
        staying = [each for each in self._of.get(name, ()) if not each.is_closing()]
        while len(staying) >= self._most:
            self._count("connections_many")
            staying.pop(0).abort()
        self._of[name] = [*staying, transport]


def noting(count: Callable[[str], None]) -> logging.Logger:
    """Return where aiohttp logs: what is no HTTP is counted, and not told with a traceback each time."""
    logger = logging.Logger("aiohttp.server")  # noqa: LOG001 - one of our own: other servers keep theirs
    logger.parent = logging.getLogger("aiohttp.server")

    def is_ours(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        is_nonsense = isinstance(error, HttpProcessingError | web.RequestPayloadError)
        if is_nonsense and record.levelno >= logging.WARNING:
            count("request_unreadable")
        return not is_nonsense

    logger.addFilter(is_ours)
    return logger
