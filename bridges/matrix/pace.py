# SPDX-License-Identifier: GPL-3.0-or-later
"""How often the gateway may speak of its own accord: token buckets. Pure, time is passed in.

A homeserver counts our reactions and notices with the messages we carry (Synapse: one every five
seconds for a normal account), and a room should not have to read more than a few of them.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

MAX_ROOMS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many at once, and one more each so many seconds."""

    burst: int
    every_s: float


ROOM = Rate(burst=10, every_s=10.0)
ACCOUNT = Rate(burst=20, every_s=5.0)


class Pace:
    """Says whether so many events may go into a room now."""

    def __init__(self, room: Rate = ROOM, account: Rate = ACCOUNT) -> None:
        self._room = room
        self._account = account
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """When each bucket would be full again; what isn't in it is full. The account's is under an empty name."""

    def take(self, room_id: str, cost: int, now_s: float) -> float:
        """Take `cost` tokens and return 0, or take none and return in how many seconds they would be there."""
        wait_s = max(self._lacks(room_id, self._room, cost, now_s), self._lacks("", self._account, cost, now_s))
        if wait_s > 0:
            return wait_s
        self._spend(room_id, self._room, cost, now_s)
        self._spend("", self._account, cost, now_s)
        while len(self._full_at) > MAX_ROOMS:
            self._full_at.popitem(last=False)
        return 0.0

    def _lacks(self, name: str, rate: Rate, cost: int, now_s: float) -> float:
        in_use_s = max(0.0, self._full_at.get(name, now_s) - now_s)
        return max(0.0, in_use_s - (rate.burst - cost) * rate.every_s)

    def _spend(self, name: str, rate: Rate, cost: int, now_s: float) -> None:
        self._full_at[name] = max(now_s, self._full_at.get(name, now_s)) + cost * rate.every_s
        self._full_at.move_to_end(name)
