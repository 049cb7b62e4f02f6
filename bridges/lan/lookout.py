# SPDX-License-Identifier: GPL-3.0-or-later
"""Says where this box is and looks for others, on the interfaces there are now: Wi-Fi may come late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bridges.lan.addresses import address_of
from bridges.lan.discovery import Discovery, Found, own_addresses, told_addresses
from bridges.lan.event import BoxId
from bridges.lan.presence import Presence
from bridges.lan.server import EVERY_ADDRESS


class Lookout:
    """What `look_around` found to be the case last; `stop` when it is over."""

    discovery: Discovery | None = None
    """None: it isn't wanted."""

    def __init__(self, *, sync: str, interfaces: tuple[str, ...], discover: bool, found: Found) -> None:
        """`sync`: where this box listens, ``host:port``; `found`: is told of what mDNS finds."""
        self._host = sync.rpartition(":")[0].strip("[]")
        self._interfaces = interfaces
        self._discover = discover
        self._found = found

    async def look_around(self, box: BoxId, port: int, presence: Presence, changed: Callable[[], None]) -> None:
        """Tell others where we are; be found, and find, where that has changed."""
        if presence.become(replace(presence.own, addresses=self._own_addresses(port))):
            changed()
        if not self._discover:
            return
        if self.discovery is None or self.discovery.addresses != own_addresses(self._interfaces):
            await self.stop()
            self.discovery = await Discovery(box, port, self._interfaces, self._found).__aenter__()

    async def stop(self) -> None:
        """Look no more."""
        if self.discovery is not None:
            await self.discovery.__aexit__(None, None, None)
            self.discovery = None

    def _own_addresses(self, port: int) -> tuple[str, ...]:
        if self._host in EVERY_ADDRESS:
            return told_addresses(self._interfaces, port)
        return (address_of(self._host, port),)
