# SPDX-License-Identifier: GPL-3.0-or-later
"""Hangs up on who connects to a box and then asks nothing: aiohttp waits for a first request for ever."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Protocol

ASKING_S = 10.0
"""So long a connection may take from its first byte to a whole head of a request, the handshake with it."""


class Connection(Protocol):
    """aiohttp's protocol of one connection."""

    transport: asyncio.Transport | None


class Patience:
    """Knows who asked something."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._asked: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()

    def asked(self, transport: asyncio.BaseTransport | None) -> None:
        """Whoever is there asked something."""
        if transport is not None:
            self._asked.add(transport)

    def limiting(self, make: Callable[[], Connection]) -> Callable[[], Connection]:
        """Return what makes connections that end unless something is asked in time."""

        def made() -> Connection:
            connection = make()
            asyncio.get_running_loop().call_later(self._within_s, self._look, connection)
            return connection

        return made

    def _look(self, connection: Connection) -> None:
        transport = connection.transport
        if transport is not None and transport not in self._asked:
            transport.abort()
