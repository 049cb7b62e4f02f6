# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes on the Meshtastic LAN mesh with sockets of their own: for tests, independent of the bridge.

    async with LanNode("Ridge relay", 0xA1B2C301, interface="lo") as ridge:
        id = ridge.say("anybody there?")
        heard = await ridge.wait_text("yes")

A node hears one group only, its firmware's: 224.0.0.69 up to 2.7, 239.0.0.69 from 2.8.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from bridges.sim.lan_peer import LanHeard, LanPeer

PORT = 4403
_MULTICAST_ALL = 49
"""Off: only from the interface it is on."""
GROUPS = {"2.7": "224.0.0.69", "2.8": "239.0.0.69"}


class LanNode(LanPeer):
    """A `LanPeer` on an interface; the rest of the options are its."""

    def __init__(self, name: str, number: int, *, interface: str = "lo", firmware: str = "2.7", **options: Any) -> None:
        super().__init__(name, number, put=self.put, **options)
        self._interface = interface
        self._group = GROUPS[firmware]
        self._socket: socket.socket | None = None
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        line.setblocking(False)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        line.setsockopt(socket.IPPROTO_IP, _MULTICAST_ALL, 0)
        line.bind((self._group, PORT))
        at = struct.pack("@i", socket.if_nametoindex(self._interface))
        line.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(self._group) + b"\0" * 4 + at)
        line.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, b"\0" * 8 + at)
        asyncio.get_running_loop().add_reader(line, self._read, line)
        self._socket = line
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def put(self, datagram: bytes) -> None:
        """Put any bytes on the LAN."""
        assert self._socket is not None  # noqa: S101 - a misuse of the simulator
        self._socket.sendto(datagram, (self._group, PORT))

    async def wait_heard(self, holds: Callable[[LanHeard], bool], timeout_s: float = 10.0) -> LanHeard:
        """Return the first packet, heard already or soon, of which this holds; TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                for heard in self.heard:
                    if holds(heard):
                        return heard
                self._news.clear()
                await self._news.wait()

    async def wait_text(self, text: str, timeout_s: float = 10.0) -> LanHeard:
        """Return the first packet with exactly this text."""
        return await self.wait_heard(lambda heard: heard.text == text, timeout_s)

    def _read(self, line: socket.socket) -> None:
        while self._socket is not None:
            try:
                datagram = line.recv(2048)
            except OSError:
                return
            self.take(datagram)
            self._news.set()
