# SPDX-License-Identifier: GPL-3.0-or-later
"""What others can make our node say has a part of the share and no more: the rest is for people's words. Pure.

Anybody can write to our node under as many numbers as they like, and have it acknowledge, thank and introduce itself.
"""

from __future__ import annotations

from bridges.meshtastic.allowance import Cost
from bridges.meshtastic.ledger import Ledger, Reservation

ACKNOWLEDGING = 1 / 4
"""Of an hour's share: what acknowledgements to others may take of it. What is over that our node tells us of with all
that it relays, and the law counts it."""
COURTESIES = 2 / 5
"""Of an hour's share: what the gateway says of itself may take (answers, introductions, questions for a position)."""


class Portions:
    """What was used of them in the last hour; since the start of the gateway only."""

    def __init__(self) -> None:
        self._acknowledging = Ledger()
        self._courtesies = Ledger()

    def acknowledges(self, ms: int, share_ms: int, now: float) -> bool:
        """Note an acknowledgement; tell whether it is within its part of the share."""
        if self._acknowledging.used_ms(now) + ms > share_ms * ACKNOWLEDGING:
            return False
        self._acknowledging.spend(ms, now)
        return True

    def wait_s(self, cost: Cost, share_ms: int, now: float) -> float:
        """Return the seconds until a courtesy fits."""
        # However small the share, one does.
        most_ms = max(round(share_ms * COURTESIES), cost.ms * cost.tries)
        return self._courtesies.wait_s(cost.ms, tries=cost.tries, gap_s=cost.gap_s, limit_ms=most_ms, now=now)

    def reserve(self, id: int, held: Reservation) -> None:
        """Note that a courtesy is given to the radio."""
        self._courtesies.reserve(id, held)

    def release(self, id: int) -> None:
        """Note that it never went on the air."""
        self._courtesies.release(id)

    def settle(self, id: int, now: float, *, is_final: bool) -> None:
        """Note that it will not be sent again."""
        self._courtesies.settle(id, now, is_final=is_final)
