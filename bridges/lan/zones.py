# SPDX-License-Identifier: GPL-3.0-or-later
"""On which cable a link-local address is: spelled by the interface's name, so that one place isn't kept as two."""

from __future__ import annotations

import socket


def zoned(host: str, zone: str | int) -> str:
    """Return an address with its cable, whose name or number `zone` is; without where there is none (any more)."""
    name = str(zone)
    if name.isascii() and name.isdecimal():
        try:
            name = socket.if_indextoname(int(name))
        except (OSError, OverflowError):  # pulled out meanwhile, or there never was one
            return host
    return f"{host}%{name}" if name else host
