# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a network interface can be used just now, and under which address."""

from __future__ import annotations

import fcntl
import socket
import struct
from dataclasses import dataclass

_GET_FLAGS = 0x8913
_GET_ADDRESS = 0x8915
_UP = 0x1
_RUNNING = 0x40
_REQUEST_BYTES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """An interface that carries IPv4. Another index or address: not the same any more, whatever its name."""

    name: str
    index: int
    address: str


def look(name: str) -> Interface | str:
    """Return the interface, or in words why it can't be used."""
    try:
        index = socket.if_nametoindex(name)
    except OSError:
        return "is not there"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            (flags,) = struct.unpack_from("H", _ask(asker, _GET_FLAGS, name), 16)
            if not flags & _UP:
                return "is down"
            if not flags & _RUNNING:
                return "has no carrier"
            address = socket.inet_ntoa(_ask(asker, _GET_ADDRESS, name)[20:24])
        except OSError:
            return "has no IPv4 address"
    return Interface(name=name, index=index, address=address)


def _ask(asker: socket.socket, what: int, name: str) -> bytes:
    return fcntl.ioctl(asker.fileno(), what, name.encode().ljust(_REQUEST_BYTES, b"\0"))
