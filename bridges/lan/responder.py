# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells one interface's network where the page is, and hears who else tells its name."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence

from zeroconf import (  # type: ignore[attr-defined] # they are there, but not in its __all__
    DNSAddress,
    DNSOutgoing,
    DNSQuestion,
    IPVersion,
    RecordUpdate,
    RecordUpdateListener,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
from zeroconf.const import _CLASS_IN, _FLAGS_QR_QUERY, _TYPE_A, _TYPE_AAAA

SERVICE = "_http._tcp.local."
PROBES = 3
PROBE_EVERY_S = 0.25
"""RFC 6762, section 8.1."""
PROTECTED_S = 0.75
"""What was told to all a moment ago isn't told again at once (section 14), so some answers are late."""
CLOSE_S = 3.0
MOST_HEARD = 64
"""Addresses of one name that are remembered until it is asked about again; past these only the host's own: more of
others make it no more taken than it is."""
_MULTICAST_ALL = ((socket.IPPROTO_IP, 49), (socket.IPPROTO_IPV6, 29))
"""Of Linux, ``ip(7)`` and ``ipv6(7)``: whether a socket hears groups that others joined, on other interfaces."""


class Responder(RecordUpdateListener):
    """One interface."""

    def __init__(
        self, addresses: Sequence[str], ours: Callable[[], frozenset[str]], disputed: Callable[[], None]
    ) -> None:
        """`ours`: the host's addresses; `disputed` is called when somebody else tells the announced name."""
        super().__init__()
        self._addresses = addresses
        self._ours = ours
        self._disputed = disputed
        self._zeroconf: AsyncZeroconf | None = None
        self._probed = ""
        """The name that is asked about, or announced."""
        self._told: frozenset[str] = frozenset()
        """The addresses that we announce."""
        self._heard: set[str] = set()

    async def open(self) -> None:
        """Listen; OSError and what zeroconf raises if that can't be."""
        self._zeroconf = AsyncZeroconf(interfaces=list(self._addresses), ip_version=IPVersion.All)
        await self._zeroconf.zeroconf.async_wait_for_start()
        _keep_to_own_interface(self._zeroconf.zeroconf)
        self._zeroconf.zeroconf.async_add_listener(self, None)

    async def close(self) -> None:
        """Say goodbye, and listen no more."""
        zeroconf, self._zeroconf, self._told = self._zeroconf, None, frozenset()
        if zeroconf is not None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await zeroconf.async_unregister_all_services()
                    await zeroconf.async_close()

    @property
    def is_told_otherwise(self) -> bool:
        """Whether this host's own responder tells other addresses than we do."""
        return bool(self._heard & self._ours() - self._told)

    async def is_taken(self, name: str) -> bool:
        """Ask whether another host has a name."""
        return bool(await self.rivals(name))

    async def rivals(self, name: str) -> frozenset[str]:
        """Return the addresses that other hosts give to a name now."""
        self._probed = f"{name}."
        self._heard.clear()
        for _ in range(PROBES):
            self._ask(f"{name}.")
            await asyncio.sleep(PROBE_EVERY_S)
        await asyncio.sleep(PROTECTED_S)
        return frozenset(self._heard - self._ours())

    def outranks(self, rivals: Iterable[str]) -> bool:
        """Whether our claim to a name is better than these hosts': RFC 6762, section 8.2, has the later data win."""
        mine = max(map(_packed, self._addresses))
        return all(mine > _packed(each) for each in rivals)

    async def announce(self, name: str, port: int) -> None:
        """Tell the name. Where this host's own responder told it, too, with the addresses which that one gave."""
        if self._zeroconf is None:
            return
        told = self._heard & self._ours() or {each.partition("%")[0] for each in self._addresses}
        self._told = frozenset(told)
        label = name.partition(".")[0]
        info = AsyncServiceInfo(
            SERVICE,
            f"Crossband {label}.{SERVICE}",
            port=port,
            addresses=[_packed(each) for each in sorted(told)],
            server=f"{name}.",
            properties={"path": "/"},
        )
        await self._zeroconf.async_register_service(info, cooperating_responders=True)

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Hear what anybody says of the name."""
        del zc
        for update in records:
            record = update.new
            if not isinstance(record, DNSAddress) or record.key != self._probed.lower() or record.is_expired(now):
                continue
            if record.ttl == 0:
                continue  # a goodbye
            address = str(ipaddress.ip_address(record.address))
            if len(self._heard) < MOST_HEARD or address in self._ours():
                self._heard.add(address)
            # An address of this host that we don't tell is of its own responder, which came after us.
            if self._told and address not in self._told:
                self._disputed()

    def _ask(self, name: str) -> None:
        if self._zeroconf is None:
            return
        # Not ANY, as section 8.1 has it: zeroconf, in other boxes, answers that for services only.
        out = DNSOutgoing(_FLAGS_QR_QUERY)
        for kind in (_TYPE_A, _TYPE_AAAA):
            # Answered to all: section 15.1, of several responders on one host only one gets what is sent to it alone.
            out.add_question(DNSQuestion(name, kind, _CLASS_IN))
        self._zeroconf.zeroconf.async_send(out)


def _keep_to_own_interface(zeroconf: Zeroconf) -> None:
    """Hear this interface's network only: else who asks on another would be told addresses that aren't there."""
    for each in (*zeroconf.engine.readers, *zeroconf.engine.senders):
        sock = each.transport.get_extra_info("socket")
        for level, option in _MULTICAST_ALL:
            with contextlib.suppress(OSError):
                sock.setsockopt(level, option, 0)


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address.partition("%")[0]).packed
