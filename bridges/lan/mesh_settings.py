# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mesh is told before it opens."""

from __future__ import annotations

from dataclasses import dataclass

from bridges.lan.exchange import ALONE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshSettings:
    """What the configuration says of it."""

    name: str
    """Of this box."""
    sync: str
    """``host:port`` to listen on."""
    peers: tuple[str, ...] = ()
    """``host:port`` of others, besides those that are found."""
    discover: bool = False
    """Whether to find others by mDNS, and be found."""
    interfaces: tuple[str, ...] = ()
    """On which; none: all but loopback."""
    retention_s: float = 30 * 86400.0
    alone_s: float = ALONE_S
    """How long after the start a box is awaited that still has what the others dropped."""
