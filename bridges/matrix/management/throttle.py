# SPDX-License-Identifier: GPL-3.0-or-later
"""How many commands one person may give in a while. Time is passed in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

BURST = 10
EVERY_S = 6.0
"""How long it takes until one more is free."""
MOST_SENDERS = 1_000
"""Remembered; who is forgotten begins anew."""


@dataclass(slots=True)
class Purse:
    """What one person has left."""

    left: float
    at_s: float
    was_told: bool = False


class Throttle:
    """Takes commands as long as there is something left."""

    def __init__(self) -> None:
        self._purses: OrderedDict[str, Purse] = OrderedDict()

    def takes(self, sender: str, now_s: float) -> bool:
        """Whether one more is taken now."""
        purse = self._purses.pop(sender, None) or Purse(left=BURST, at_s=now_s)
        purse.left = min(BURST, purse.left + (now_s - purse.at_s) / EVERY_S)
        purse.at_s = now_s
        self._purses[sender] = purse
        if len(self._purses) > MOST_SENDERS:
            self._purses.popitem(last=False)
        if purse.left < 1:
            return False
        purse.left -= 1
        purse.was_told = False
        return True

    def is_to_be_told(self, sender: str) -> bool:
        """Whether a refused sender hasn't been told since the last command that was taken; they are told then."""
        purse = self._purses.get(sender)
        if purse is None or purse.was_told:
            return False
        purse.was_told = True
        return True
