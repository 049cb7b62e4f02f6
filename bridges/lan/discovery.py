# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds other boxes by mDNS, on v4 and v6, and is found: on the interfaces the admin chose, or all.

One way among three: many community networks carry no multicast (Gluon, AREDN), so a list of addresses and
what other boxes tell count as much. Whoever is found still has to prove its key. That a box is gone shows by
its silence only: mDNS keeps a name for more than an hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import ifaddr
from zeroconf import Error as ZeroconfError
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from bridges.lan.addresses import address_of
from bridges.lan.event import BoxId
from bridges.lan.presence import MOST_ADDRESSES
from bridges.lan.zones import zoned

SERVICE = "_crossband._tcp.local."
ASK_MS = 3000
MOST_ASKED = 64
"""Names that are looked up at once; a flood of names goes no further."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Found = Callable[[str, BoxId | None], None]
"""Is told of an address, and whose it is said to be."""


class Discovery:
    """Announces a box, and tells of others; `async with`. Without an interface that can do it, it stays quiet."""

    def __init__(self, box: BoxId, port: int, interfaces: Sequence[str], found: Found) -> None:
        self._box = box
        self._port = port
        self._interfaces = interfaces
        self._found = found
        self._tasks: set[asyncio.Task[None]] = set()
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self.addresses: list[str] = []
        """Where it announces and listens."""
        self._near: list[Network] = []
        self.reason = ""
        """Why it is quiet, in words; empty: it isn't."""

    async def __aenter__(self) -> Self:
        self.addresses = own_addresses(self._interfaces)
        self._near = own_networks(self._interfaces)
        if not self.addresses:
            self.reason = f"mDNS: no address on {', '.join(self._interfaces) or 'any interface'} yet"
            return self
        try:
            self._zeroconf = AsyncZeroconf(interfaces=list(self.addresses), ip_version=IPVersion.All)
            await self._zeroconf.async_register_service(self._service(), cooperating_responders=True)
        except (OSError, ValueError, RuntimeError, ZeroconfError) as error:
            self.reason = f"mDNS: {getattr(error, 'strerror', None) or error}"
            await self._close()
            return self
        self._browser = AsyncServiceBrowser(self._zeroconf.zeroconf, SERVICE, handlers=[self._seen])
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._close()

    def _service(self) -> AsyncServiceInfo:
        return AsyncServiceInfo(
            SERVICE,
            f"{self._box}.{SERVICE}",
            port=self._port,
            addresses=[socket.inet_pton(_family(each), each.partition("%")[0]) for each in self.addresses],
            server=f"crossband-{self._box[:16]}.local.",
            properties={"box": self._box},
        )

    async def _close(self) -> None:
        if self._zeroconf is None:
            return
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(3):
                if self._browser is not None:
                    await self._browser.async_cancel()
                await self._zeroconf.async_close()
        self._zeroconf = self._browser = None

    def _seen(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is ServiceStateChange.Removed or name.startswith(self._box) or len(self._tasks) >= MOST_ASKED:
            return
        task = asyncio.get_running_loop().create_task(self._look(zeroconf, service_type, name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, zeroconf: Zeroconf, service_type: str, name: str) -> None:
        with contextlib.suppress(OSError, ValueError, ZeroconfError):  # anybody may announce anything
            info = AsyncServiceInfo(service_type, name)
            if not await info.async_request(zeroconf, ASK_MS) or not info.port:
                return
            for address in filter(self._is_near, info.parsed_scoped_addresses()[:MOST_ADDRESSES]):
                for host in _zoned(address, self._interfaces):
                    self._found(address_of(host, info.port), None)

    def _is_near(self, address: str) -> bool:
        """Whether it is on a network of ours: mDNS reaches no further, and nobody has us call others for them."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        return any(ip in network for network in self._near)


def own_networks(interfaces: Sequence[str]) -> list[Network]:
    """Return the networks that these interfaces are on, or all but loopback."""
    found: list[Network] = []
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips if not interfaces or adapter.name in interfaces else ():
            host = each.ip if isinstance(each.ip, str) else each.ip[0]
            network = ipaddress.ip_network(f"{host}/{each.network_prefix}", strict=False)
            if interfaces or not network.is_loopback:
                found.append(network)
    return found


def own_addresses(interfaces: Sequence[str]) -> list[str]:
    """Return the addresses of those of these interfaces that are there, or of all but loopback."""
    return [address for each in by_interface(interfaces).values() for address in each]


def by_interface(interfaces: Sequence[str]) -> dict[str, list[str]]:
    """Return the same for each interface that has any."""
    found: dict[str, list[str]] = {}
    for adapter in ifaddr.get_adapters():
        if interfaces and adapter.name not in interfaces:
            continue
        for each in adapter.ips:
            host = each.ip if isinstance(each.ip, str) else each.ip[0]
            address = ipaddress.ip_address(host)
            if (interfaces or not address.is_loopback) and _is_usable(address, adapter.index or 0):
                named = f"{host}%{adapter.name}" if address.version == 6 and address.is_link_local else host  # noqa: PLR2004
                found.setdefault(adapter.name, []).append(named)
    return found


def _is_usable(address: ipaddress.IPv4Address | ipaddress.IPv6Address, index: int) -> bool:
    """Whether it can be bound: one that has just come may still be looking for its double."""
    is_v6 = isinstance(address, ipaddress.IPv6Address)
    with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((str(address), 0, 0, index if address.is_link_local else 0) if is_v6 else (str(address), 0))
        except OSError:
            return False
    return True


def told_addresses(interfaces: Sequence[str], port: int) -> tuple[str, ...]:
    """Return where others may reach us: without link-local ones, which mean something on one cable only."""
    own = [each for each in own_addresses(interfaces) if "%" not in each]
    return tuple(address_of(host, port) for host in own)[:MOST_ADDRESSES]


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _zoned(address: str, interfaces: Sequence[str]) -> list[str]:
    """Return a found address with each zone it may be in: mDNS can't tell which link-local one is on which cable."""
    host, _, zone = address.partition("%")
    if ":" not in host or not ipaddress.ip_address(host).is_link_local:
        return [host]
    return [zoned(host, name) for name in ([zone] if zone else interfaces)]
