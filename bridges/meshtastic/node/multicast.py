# SPDX-License-Identifier: GPL-3.0-or-later
"""The LAN mesh's sockets: both groups, on named interfaces, whatever the routes are."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence

from bridges.meshtastic.node.interfaces import Interface, look
from bridges.meshtastic.node.wire import MOST_BYTES
from gateway.model import LinkDown

GROUPS = ("224.0.0.69", "239.0.0.69")
"""Of firmware up to 2.7, and from 2.8 on."""
PORT = 4403
TTL = 1
AT_ONCE = 64
"""Datagrams read before others in the process get their turn."""
RECEIVE_BYTES = 256 * 1024
_MULTICAST_ALL = 49
"""``IP_MULTICAST_ALL``; on, a socket also gets what others on this machine joined, from any interface."""
_BUSY = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.EINTR})


class Multicast:
    """Open sockets. `on_datagram` gets what comes; `look_again` follows interfaces that come, go and change."""

    def __init__(
        self, names: Sequence[str], on_datagram: Callable[[bytes], None], count: Callable[[str], None]
    ) -> None:
        """Open; LinkDown, and nothing stays open, if no interface can be used."""
        self._names = names
        self._on_datagram = on_datagram
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._receivers: list[socket.socket] = []
        self._senders: dict[str, tuple[Interface, socket.socket]] = {}
        self._why_not: dict[str, str] = {}
        self._is_reading = False
        try:
            self._receivers.extend(_receiver(group) for group in GROUPS)
        except OSError as error:
            self.close()
            raise LinkDown(f"UDP port {PORT}: {os.strerror(error.errno or 0)}") from error
        self.look_again()
        if self.failure is not None:
            self.close()
            raise self.failure

    @property
    def failure(self) -> LinkDown | None:
        """Why none of the interfaces can be used; None while one can."""
        if self._senders:
            return None
        return LinkDown("; ".join(f"{name} {self._why_not[name]}" for name in self._names))

    @property
    def missing(self) -> dict[str, str]:
        """The interfaces that can't be used just now, and why."""
        return dict(self._why_not)

    def look_again(self) -> None:
        """Join on interfaces that are there, anew if they changed, and leave those that aren't."""
        for name in self._names:
            found = look(name)
            held = self._senders.get(name)
            if held is not None and held[0] == found:
                continue
            if held is not None:
                self._leave(name)
                self._count("lan_interface_changed")
            if isinstance(found, Interface):
                self._join(found)
            else:
                self._why_not[name] = found

    def send(self, datagram: bytes) -> None:
        """Send to both groups on every interface; what the kernel has no room for is counted."""
        for name, (_, sender) in list(self._senders.items()):
            for group in GROUPS:
                try:
                    sender.sendto(datagram, (group, PORT))
                except OSError as error:
                    self._count("lan_send_failed")
                    if error.errno not in _BUSY:
                        # Looked at again soon; if it works by then, it is joined anew.
                        self._leave(name)
                        self._why_not[name] = os.strerror(error.errno or 0)
                        break

    def resume(self) -> None:
        """Read, and read on."""
        if not self._is_reading:
            self._is_reading = True
            for receiver in self._receivers:
                self._loop.add_reader(receiver, self._read, receiver)

    def pause(self) -> None:
        """Leave what comes with the kernel, which keeps a while's worth of it."""
        self._is_reading = False
        for receiver in self._receivers:
            self._loop.remove_reader(receiver)

    def close(self) -> None:
        """Leave the groups and close all."""
        self.pause()
        for _, sender in self._senders.values():
            sender.close()
        for receiver in self._receivers:
            receiver.close()
        self._senders.clear()
        self._receivers.clear()

    def _read(self, receiver: socket.socket) -> None:
        for _ in range(AT_ONCE):
            if not self._is_reading:
                return
            try:
                # One byte more than there may be: what is longer is not taken for whole.
                datagram = receiver.recv(MOST_BYTES + 1)
            except BlockingIOError:
                return
            except OSError:
                self._count("lan_receive_failed")
                return
            self._on_datagram(datagram)

    def _join(self, interface: Interface) -> None:
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sender.setblocking(False)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, TTL)
            # Others on this machine may listen; that we hear ourselves is no harm.
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _request("0.0.0.0", interface))  # noqa: S104 - no address to bind
            for receiver, group in zip(self._receivers, GROUPS, strict=True):
                receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _request(group, interface))
        except OSError as error:
            sender.close()
            self._drop(interface)
            self._why_not[interface.name] = os.strerror(error.errno or 0)
            return
        self._senders[interface.name] = (interface, sender)
        self._why_not.pop(interface.name, None)

    def _leave(self, name: str) -> None:
        interface, sender = self._senders.pop(name)
        sender.close()
        self._drop(interface)

    def _drop(self, interface: Interface) -> None:
        for receiver, group in zip(self._receivers, GROUPS, strict=True):
            with contextlib.suppress(OSError):  # the interface, or the membership, is gone already
                receiver.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, _request(group, interface))


def _receiver(group: str) -> socket.socket:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        receiver.setblocking(False)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        receiver.setsockopt(socket.IPPROTO_IP, _MULTICAST_ALL, 0)
        receiver.bind((group, PORT))
    except OSError:
        receiver.close()
        raise
    return receiver


def _request(group: str, interface: Interface) -> bytes:
    """Return the kernel's ``ip_mreqn``: by index, so that it needs no route and no address."""
    return socket.inet_aton(group) + bytes(4) + struct.pack("i", interface.index)
