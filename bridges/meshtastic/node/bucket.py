# SPDX-License-Identifier: GPL-3.0-or-later
"""How often the node may answer of itself: every answer is flooded on the air by its neighbours. Pure."""

from __future__ import annotations


class Bucket:
    """Holds `most` tokens and gets one more every `every_s`; built full."""

    def __init__(self, *, most: int, every_s: float, now: float) -> None:
        self._most = most
        self._every_s = every_s
        self._tokens = float(most)
        self._at = now

    def take(self, now: float) -> bool:
        """Take a token; False if there is none."""
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._at) / self._every_s)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
