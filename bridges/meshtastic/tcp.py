# SPDX-License-Identifier: GPL-3.0-or-later
"""The byte line to a node on the network: its name looked up, its addresses tried, its silence noticed."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence

from bridges.meshtastic.connection import Tcp
from bridges.meshtastic.port import Port
from bridges.meshtastic.reasons import reason
from gateway.model import LinkDown

CONNECT_WITHIN_S = 5.0
LOOK_UP_WITHIN_S = 5.0
LEAST_PER_ADDRESS_S = 1.0
_KEEPALIVE = (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 40_000))
"""Whether the other host still knows of us; that the node itself lives, its heartbeat says."""

Address = tuple[socket.AddressFamily, tuple[object, ...]]
LookUp = Callable[[str, int], Sequence[Address]]


def look_up(host: str, port: int) -> Sequence[Address]:
    """Return a host's addresses; blocks for as long as the resolver likes."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class Resolver:
    """Looks one host up, never twice at once: a resolver that hangs takes one thread, which no stop waits for."""

    def __init__(self, where: Tcp, look_up: LookUp = look_up) -> None:
        self._where = where
        self._look_up = look_up
        self._asked: asyncio.Future[Sequence[Address]] | None = None
        self._known: Sequence[Address] = ()

    async def addresses(self) -> Sequence[Address]:
        """Return the host's addresses; those it had before, if the resolver is away. OSError, TimeoutError."""
        if literal := _literal(self._where):
            return [literal]
        if self._asked is None or self._asked.done():
            self._asked = self._ask()
        try:
            async with asyncio.timeout(LOOK_UP_WITHIN_S):
                self._known = await asyncio.shield(self._asked)
        except OSError:  # TimeoutError is one
            if not self._known:
                raise
        return self._known

    def _ask(self) -> asyncio.Future[Sequence[Address]]:
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[Sequence[Address]] = loop.create_future()

        def answer(found: Sequence[Address], error: OSError | None) -> None:
            if not asked.done():
                asked.set_result(found) if error is None else asked.set_exception(error)

        def work() -> None:
            found: Sequence[Address] = ()
            failure: OSError | None = None
            try:
                found = self._look_up(self._where.host, self._where.port)
            except OSError as error:
                failure = error
            except UnicodeError:
                failure = OSError("is no name of a host")
            with contextlib.suppress(RuntimeError):  # the loop is closed by now
                loop.call_soon_threadsafe(answer, found, failure)

        threading.Thread(target=work, name=f"look up {self._where.host}", daemon=True).start()
        # Nobody may come back for it.
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())
        return asked


def _literal(where: Tcp) -> Address | None:
    try:
        version = ipaddress.ip_address(where.host).version
    except ValueError:
        return None
    return (socket.AF_INET6 if version == 6 else socket.AF_INET, (where.host, where.port))  # noqa: PLR2004 - IPv6


async def open_tcp(where: Tcp, resolver: Resolver) -> Port:
    """Connect to a node's TCP interface, trying each of the host's addresses; LinkDown with the reason."""
    try:
        found = await resolver.addresses()
    except TimeoutError as error:
        raise LinkDown(f"{where}: its name is not found: the resolver does not answer") from error
    except OSError as error:
        raise LinkDown(f"{where}: its name is not found: {error.strerror or error}") from error
    return await _first_of(where, found)


async def _first_of(where: Tcp, addresses: Sequence[Address]) -> Port:
    # A dead address must leave time for the next one.
    each_s = max(CONNECT_WITHIN_S / max(len(addresses), 1), LEAST_PER_ADDRESS_S)
    failure = "the host has no address"
    for address in addresses:
        try:
            async with asyncio.timeout(each_s):
                return await _connected(where, address)
        except TimeoutError:
            failure = f"no answer within {each_s:.0f} s"
        except OSError as error:
            failure = reason(error)
    raise LinkDown(f"{where}: {failure}")


async def _connected(where: Tcp, address: Address) -> Port:
    family, to = address
    line = socket.socket(family, socket.SOCK_STREAM)
    try:
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, to)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if (option := getattr(socket, name, None)) is not None:
                line.setsockopt(socket.IPPROTO_TCP, option, value)
    except BaseException:
        line.close()
        raise
    return Port(line.fileno(), str(where), is_serial=False, close=line.close)
