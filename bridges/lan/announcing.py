# SPDX-License-Identifier: GPL-3.0-or-later
"""Announces the page by mDNS: its name, the addresses it has on each interface, and that it is a page (``_http._tcp``).

A name that another host has already is left to it (RFC 6762, sections 8.1 and 9). Where the host's own responder
(avahi) tells the same name, it is told the same addresses, which is no conflict for either.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import ifaddr
import structlog
from zeroconf import Error as ZeroconfError

from bridges.lan.config import LanConfig
from bridges.lan.discovery import by_interface
from bridges.lan.page_name import names_of, shown_at
from bridges.lan.responder import Responder

LOOK_EVERY_S = 10.0
DEFENCES = 2
"""So often a name is kept against another host that has the lesser claim, before it is left to it all the same."""
AGAIN_S = 60.0
"""After all names were taken."""

Interfaces = Mapping[str, Sequence[str]]
"""Addresses by the interface they are on."""

log = structlog.get_logger()


class Announcing:
    """`async with`; `name` follows what the network says."""

    def __init__(
        self,
        box: str,
        port: int,
        look: Callable[[], Interfaces],
        *,
        chance: random.Random,
        ours: Callable[[], frozenset[str]] | None = None,
    ) -> None:
        """`look`: where the page is to be found now. `ours`: every address of this host, whoever tells it."""
        self._names = names_of(box)
        self._port = port
        self._look = look
        self._chance = chance
        self._ours = ours or host_addresses
        self._nth = 0
        self._defended = 0
        self._responders: dict[str, Responder] = {}
        self._looked: Interfaces = {}
        self._disputed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.name = ""
        """Under which the page is found; empty: under none yet."""
        self.reason = ""
        """Why that isn't the first of its names, or why there is none, in words; empty: it is."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="lan page name")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close()

    def told(self, address: str) -> str:
        """Say where the page is by name, and why not under the box's own, for the status."""
        if not self.name:
            return self.reason or "being announced"
        return f"{address} ({self.reason})" if self.reason else address

    def look_again(self) -> None:
        """Don't wait to look: something changed."""
        self._disputed.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._keep_up()
            except (OSError, ValueError, RuntimeError, ZeroconfError) as error:
                self._disputed.clear()  # else it would be tried again at once, for ever
                await self._close()
                self._say(f"mDNS: {getattr(error, 'strerror', None) or error}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S if self.name or not self._responders else AGAIN_S):
                    await self._disputed.wait()

    async def _keep_up(self) -> None:
        """Follow the interfaces, and what other hosts say of the name."""
        there = {name: tuple(addresses) for name, addresses in self._look().items()}
        if self._disputed.is_set() and self.name:
            self._disputed.clear()
            if await self._is_kept():
                return
        elif there and there == self._looked and self.name:
            return
        self._disputed.clear()
        await self._close()
        self._looked = there
        if not there:
            self._say("mDNS: no interface has an address under which the page is")
            return
        for interface, addresses in there.items():
            await self._open(interface, addresses)
        if self._responders:
            await self._choose()

    async def _open(self, interface: str, addresses: Sequence[str]) -> None:
        """Listen on an interface; one that can't do it is no reason to be silent on the others."""
        responder = Responder(addresses, self._ours, self._disputed.set)
        try:
            await responder.open()
        except (OSError, ValueError, RuntimeError, ZeroconfError) as error:
            self._say(f"mDNS on {interface}: {getattr(error, 'strerror', None) or error}")
            await responder.close()
        else:
            self._responders[interface] = responder

    async def _choose(self) -> None:
        """Take the first name that no other host has."""
        while self._nth < len(self._names):
            wanted = self._names[self._nth]
            await asyncio.sleep(self._chance.random() * 0.25)
            if not any(await asyncio.gather(*(one.is_taken(wanted) for one in self._responders.values()))):
                break
            self._nth += 1
        else:
            self._nth = 0
            self._say(f"mDNS: other hosts here have {self._names[0]} and all names like it")
            return
        self._defended = 0
        for one in self._responders.values():
            await one.announce(wanted, self._port)
        self.name = wanted
        self.reason = "" if self._nth == 0 else f"another host here is called {self._names[0]}"
        log.info("page_announced", name=wanted, reason=self.reason)

    async def _is_kept(self) -> bool:
        """Whether all stays as it is, though somebody else tells the name: the later address has the better claim."""
        responders, name = list(self._responders.values()), self.name
        found = await asyncio.gather(*(one.rivals(name) for one in responders))
        if any(found):
            self._defended += 1
            if self._defended <= DEFENCES and all(map(Responder.outranks, responders, found)):
                return True
            self._nth += 1
            return False
        return not any(one.is_told_otherwise for one in responders)

    def _say(self, reason: str) -> None:
        if reason != self.reason:
            log.info("page_not_announced", reason=reason)
        self.reason = reason

    async def _close(self) -> None:
        self.name = ""
        for one in self._responders.values():
            await one.close()
        self._responders.clear()
        self._looked = {}


def of_config(config: LanConfig, box: str, chance: random.Random) -> Announcing:
    """Return what announces the page of a configuration, wherever it can be reached."""
    port = int(config.page.rpartition(":")[2])
    return Announcing(box, port, lambda: shown_at(config.page, by_interface(config.interfaces)), chance=chance)


def host_addresses() -> frozenset[str]:
    """Return every address of this host."""
    ips = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    return frozenset(str(ipaddress.ip_address(ip.partition("%")[0])) for ip in ips)
