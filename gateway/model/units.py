# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations, sizes and listening addresses as people write them. Pure; ValueError with the mend in words."""

from __future__ import annotations

import re
from ipaddress import ip_address

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"": 1, "b": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3, "kb": 1000, "mb": 1000**2, "gb": 1000**3}
_DURATION = re.compile(r"([0-9]{1,9})\s*([smhdw])")
_SIZE = re.compile(r"([0-9]{1,15})\s*([a-z]{0,3})")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_])?", re.IGNORECASE)
_MAX_PORT = 65535
MAX_DURATION_S = 10 * 365 * 86400


def seconds(text: str) -> int:
    """Read ``30s``, ``10m``, ``6h``, ``2d``, ``1w``: whole seconds, at least 1 and at most ten years."""
    found = _DURATION.fullmatch(text.strip().lower())
    total = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < total <= MAX_DURATION_S:
        msg = f"{text!r} is not a duration; write 30s, 10m, 6h or 2d"
        raise ValueError(msg)
    return total


def size_bytes(value: str | int) -> int:
    """Read ``64MiB``, ``1GB`` or a plain number of bytes."""
    found = _SIZE.fullmatch(str(value).strip().lower())
    if found is None or found[2] not in _BYTES or int(found[1]) == 0:
        msg = f"{value!r} is not a size; write 64MiB, 1GiB or a number of bytes"
        raise ValueError(msg)
    return int(found[1]) * _BYTES[found[2]]


def host_port(text: str) -> tuple[str, int]:
    """Read ``127.0.0.1:8080``, ``[::1]:8080`` or ``name:8080``; port 0 lets the system choose."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (colon and port.isascii() and port.isdigit() and int(port) <= _MAX_PORT and _is_host(bare, host)):
        msg = f"{text!r} is not an address to listen on; write host:port, as in 127.0.0.1:8080 or [::1]:8080"
        raise ValueError(msg)
    return bare, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this box itself can reach what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_wildcard(host: str) -> bool:
    """Whether listening there means every interface."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_host(bare: str, written: str) -> bool:
    try:
        return (ip_address(bare).version == 6) == (written != bare)  # noqa: PLR2004 - IPv6 goes in brackets
    except ValueError:
        return written == bare and _NAME.fullmatch(bare) is not None
