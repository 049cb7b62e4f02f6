# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``crossband``, and ``python -m gateway``."""

from __future__ import annotations

from gateway.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
