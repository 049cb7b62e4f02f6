# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversations that aren't there, and how often in a row they were looked for: the pause grows by it. Pure."""

from __future__ import annotations

from collections import OrderedDict

from gateway.model import Address

MOST_ABSENT = 1_000
"""Conversations that are counted; one that is forgotten is looked for as often as at first."""


class Absences:
    """One destination's."""

    def __init__(self) -> None:
        self._times: OrderedDict[Address, int] = OrderedDict()

    def missed(self, to: Address) -> int:
        """Note that it wasn't there; return how often that was so before."""
        before = self._times.pop(to, 0)
        self._times[to] = before + 1
        if len(self._times) > MOST_ABSENT:
            self._times.popitem(last=False)
        return before

    def appeared(self, to: Address) -> bool:
        """Note that it may be there now; return whether it was missed."""
        return self._times.pop(to, 0) > 0

    def begin_anew(self) -> None:
        """Note that any of them may be there now: the bridge has connected."""
        self._times.clear()
