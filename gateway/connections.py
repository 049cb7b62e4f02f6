# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections of our HTTP servers: who says nothing has to go, and nobody takes all the places.

uvicorn waits for a silent connection for ever, and counts it against the others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import get_remote_addr

HEAD_WITHIN_S = 10.0
"""How long a connection may take to send a request's head: from its start, and from the answer before."""
KEPT_ALIVE_S = 5
"""How long a connection that was answered may say nothing at all."""
MOST_PER_PEER = 64
MOST_OPEN = 256
MOST_AT_A_LISTENER = 512
"""Open on an address of a bridge's own: browsers hold a connection each for as long as they read along."""


class Peers:
    """The open connections of one server."""

    def __init__(self, *, per_peer: int = MOST_PER_PEER, most: int = MOST_OPEN) -> None:
        """`per_peer`: how many one address may have. `most`: how many all may have together."""
        self._per_peer = per_peer
        self._most = most
        self._open: dict[Connection, str] = {}
        """With the peer's address; the one that is quiet for longest first."""
        self._count: Counter[str] = Counter()

    def admit(self, connection: Connection, peer: str) -> bool:
        """Take a connection in, or say no. `peer`: its address; empty on a unix socket, which has no limit each.

        When all places are taken, the one that has asked nothing for longest makes room.
        """
        if peer and self._count[peer] >= self._per_peer:
            return False
        if len(self._open) >= self._most:
            quiet = next((one for one in self._open if not one.is_busy), None)
            if quiet is None:
                return False
            self.leave(quiet)
            quiet.cut_off()
        self._open[connection] = peer
        self._count[peer] += 1
        return True

    def answered(self, connection: Connection) -> None:
        """It is quiet from now on."""
        if connection in self._open:
            self._open[connection] = self._open.pop(connection)

    def leave(self, connection: Connection) -> None:
        """Give its place back; it may have done so."""
        peer = self._open.pop(connection, None)
        if peer is not None:
            self._count[peer] -= 1
            if not self._count[peer]:
                del self._count[peer]


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1, with a time limit for what it leaves open."""

    peers: ClassVar[Peers]
    head_within_s: ClassVar[float] = HEAD_WITHIN_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._admitted = False
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def cut_off(self) -> None:
        """End it, whatever is still to be written: the other side isn't taking part."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Let it in, or close it before it says anything."""
        remote = get_remote_addr(transport)
        self._admitted = self.peers.admit(self, remote[0] if remote else "")
        if not self._admitted:
            transport.abort()
            return
        super().connection_made(transport)
        self._give_time()

    def data_received(self, data: bytes) -> None:
        """Stop the clock once a request's head is complete; single bytes don't."""
        super().data_received(data)
        if self.is_busy:
            self._stop_the_clock()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the last of the answer to be taken."""
        super().on_response_complete()
        self.peers.answered(self)
        if not self.is_busy:
            self._give_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._stop_the_clock()
        self.peers.leave(self)
        if self._admitted:
            super().connection_lost(exc)

    def _give_time(self) -> None:
        self._stop_the_clock()
        self._deadline = self.loop.call_later(self.head_within_s, self.cut_off)

    def _stop_the_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def connections_of(peers: Peers) -> type[Connection]:
    """Return the class of one server's connections, for uvicorn's `http`."""
    return type("Connection", (Connection,), {"peers": peers})
