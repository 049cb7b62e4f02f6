# SPDX-License-Identifier: GPL-3.0-or-later
"""Greets who calls: only so many at once may be in the handshake, of one address and in all.

Strangers get no further than that, so it is all they can fill: whoever begins a handshake and says no more holds a
place for its time limit. Boxes take milliseconds for it, and always find one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bridges.lan.tls import key_of

HANDSHAKE_S = 5.0
SHUTDOWN_S = 1.0
MOST_EACH = 8
"""Of one IPv4 address, or one IPv6 network (/64), for a host has as many addresses of that as it likes."""
MOST = 64
AGAIN_S = 0.2
"""After the system could give no more sockets."""
_RESET = struct.pack("ii", 1, 0)
_V6 = 6

Protocols = Callable[[], asyncio.BaseProtocol]


class Reception:
    """Accepts on some sockets until closed; what it let in is the protocol's."""

    def __init__(
        self,
        protocols: Protocols,
        context: ssl.SSLContext,
        count: Callable[[str], None],
        came: Callable[[Ed25519PublicKey, asyncio.Transport], None] = lambda *_: None,
        *,
        each: int = MOST_EACH,
        most: int = MOST,
    ) -> None:
        """`count`: one more that was turned away for want of a place; `came`: who is past the handshake."""
        self._protocols = protocols
        self._context = context
        self._count = count
        self._came = came
        self._each = each
        self._most = most
        self._accepting: list[asyncio.Task[None]] = []
        self._greeted: dict[asyncio.Task[None], str] = {}
        """With whose it is; the oldest first."""
        self._held: Counter[str] = Counter()
        self._sockets: Sequence[socket.socket] = ()

    def open(self, sockets: Sequence[socket.socket], backlog: int = 128) -> None:
        """Listen; OSError if another does."""
        self._sockets = sockets
        for each in sockets:
            each.listen(backlog)
        self._accepting = [asyncio.create_task(self._accept(each), name="lan accepts") for each in sockets]

    async def close(self) -> None:
        """Accept no more, and hang up on whom we are greeting."""
        await _ended(self._accepting)
        await _ended(list(self._greeted))
        self._accepting = []
        for each in self._sockets:
            each.close()
        self._sockets = ()

    @property
    def greeted(self) -> int:
        """How many are in the handshake now."""
        return len(self._greeted)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            await _readable(listening)
            try:
                connection, peer = listening.accept()
            except (BlockingIOError, InterruptedError):  # gone again
                continue
            except OSError:  # no descriptor left, or who called is gone: the next may come
                await asyncio.sleep(AGAIN_S)
                continue
            connection.setblocking(False)
            whose = household(str(peer[0]))
            if self._held[whose] >= self._each:
                self._turn_away(connection)
                continue
            if len(self._greeted) >= self._most:
                self._make_room()
            self._greet(connection, whose)
            await asyncio.sleep(0)  # from its first step on the handshake owns the connection

    def _greet(self, connection: socket.socket, whose: str) -> None:
        task = asyncio.create_task(self._handshake(connection), name="lan handshake")
        self._greeted[task] = whose
        self._held[whose] += 1
        task.add_done_callback(self._over)

    async def _handshake(self, connection: socket.socket) -> None:
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                self._protocols,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except OSError:  # what TLS says of strangers, and that they are gone, with it
            return
        if (key := key_of(transport.get_extra_info("ssl_object"))) is not None:
            self._came(key, transport)

    def _over(self, task: asyncio.Task[None]) -> None:
        """Give the place back; it may have been already."""
        whose = self._greeted.pop(task, None)
        if whose is not None:
            self._held[whose] -= 1
            if not self._held[whose]:
                del self._held[whose]

    def _turn_away(self, connection: socket.socket) -> None:
        self._count("handshakes_many")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.close()

    def _make_room(self) -> None:
        """Hang up on the oldest of those who take the most places."""
        ((whose, _),) = self._held.most_common(1)
        oldest = next(task for task, each in self._greeted.items() if each == whose)
        self._count("handshakes_many")
        self._over(oldest)
        oldest.cancel()


async def _readable(listening: socket.socket) -> None:
    """Wait until somebody calls. `sock_accept` loses whom it has accepted in the moment in which it is cancelled."""
    loop = asyncio.get_running_loop()
    called = asyncio.Event()
    loop.add_reader(listening, called.set)
    try:
        await called.wait()
    finally:
        loop.remove_reader(listening)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def household(host: str) -> str:
    """Return whom an address counts for. On one cable each link-local address is another host's. Pure."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == _V6 and not address.is_link_local:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
