# SPDX-License-Identifier: GPL-3.0-or-later
"""Reasons for the people in a room, who are strangers: what is wrong, not where on our side. Pure."""

from __future__ import annotations

import re

_NAMES = re.compile(
    r"""
    \b[a-z][a-z0-9+.-]*://[^\s,;'"()]+          # URLs
    | \b(?:tcp|udp|unix|serial):[^\s,;'"()]+    # a bridge's connection
    | (?<![\w.])/(?:[^\s/,;:'"()]+/)*[^\s/,;:'"()]+    # devices, files
    | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b  # addresses
    | \[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\](?::\d{1,5})?
    | \b(?:[a-z0-9-]+\.)+[a-z0-9-]+:\d{1,5}\b   # a host with its port
    | \blocalhost(?::\d{1,5})?\b
    """,
    re.VERBOSE | re.IGNORECASE,
)


def without_places(reason: str) -> str:
    """Return the reason with devices, files, servers and network addresses left out.

    The operator reads all of it in ``crossband status``.
    """
    return _NAMES.sub("…", reason)
