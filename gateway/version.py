# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the installed distribution's version; ``0`` where it isn't installed."""
    try:
        return metadata.version("crossband")
    except metadata.PackageNotFoundError:
        return "0"
