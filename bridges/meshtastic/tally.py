# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what a radio bridge does not take as it comes, and says each kind of it in the log once."""

from __future__ import annotations

from typing import Any

from gateway.model import BridgeContext


class Tally:
    """The counters of one bridge."""

    def __init__(self, context: BridgeContext, log: Any) -> None:
        self._context = context
        self._log = log
        self._noticed: set[str] = set()

    def count(self, kind: str) -> None:
        """Count one more of a kind."""
        self._context.count(kind)
        if kind not in self._noticed:
            # Once a kind: a noisy line would fill the disk.
            self._noticed.add(kind)
            self._log.info("radio_input_noticed", kind=kind)
