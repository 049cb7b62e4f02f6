# SPDX-License-Identifier: GPL-3.0-or-later
"""When a store counts as slow: pure, with the time as an argument, in seconds."""

from __future__ import annotations

from typing import Final

SLOW_S: Final = 0.5
"""Something that takes this long makes it slow."""
QUICK_S: Final = 0.25
"""What takes longer than this keeps it slow."""
CALM_S: Final = 30.0
"""How long all must be quick before it no longer counts as slow."""


class Pace:
    """How long each of some operations takes; one of them at a time."""

    def __init__(self, what: str) -> None:
        """`what` is one of them in words: "a commit"."""
        self._what = what
        self._began_s: float | None = None
        self._took_s = 0.0
        self._slow_at_s: float | None = None

    def begin(self, at_s: float) -> None:
        """One begins."""
        self._began_s = at_s

    def end(self, at_s: float) -> None:
        """It has ended, whether it went well or not."""
        took_s = 0.0 if self._began_s is None else at_s - self._began_s
        self._began_s = None
        if took_s >= (SLOW_S if self._slow_at_s is None else QUICK_S):
            self._took_s, self._slow_at_s = took_s, at_s

    def slow(self, at_s: float) -> str:
        """Return in words why it is slow; empty while it isn't."""
        began_s = self._began_s
        if began_s is not None and at_s - began_s >= SLOW_S:
            return f"slow: {self._what} has been under way for {at_s - began_s:.1f} s"
        if self._slow_at_s is not None and at_s - self._slow_at_s >= CALM_S:
            self._slow_at_s = None
        return "" if self._slow_at_s is None else f"slow: {self._what} took {self._took_s:.1f} s"
