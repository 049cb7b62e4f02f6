# SPDX-License-Identifier: GPL-3.0-or-later
"""When our node says who it is, sparingly: every word of it is flooded on the air. Pure.

Figures of firmware `NodeInfoModule`: 30 s after the start, then every 3 h; to all at most every 10 min, to
one who lacks our key at most once a minute; who asks again soon is not answered again.
"""

from __future__ import annotations

import random
from collections import OrderedDict

FIRST_AFTER_S = 30.0
JITTER_S = 30.0
EVERY_S = 3 * 3600.0
APART_S = 600.0
ASKED_APART_S = 60.0
URGENT_APART_S = 60.0
SAME_ASKER_S = 600.0
STRANGER_S = 3600.0
_MOST_ASKERS = 200


class Announcing:
    """One node's restraint. `since_s`: seconds since it last announced itself, in an earlier life maybe."""

    def __init__(self, *, random: random.Random, now: float, since_s: float | None = None) -> None:
        self._random = random
        self._last: float | None = None
        self._due_at = now
        self.begin(now)
        if since_s is not None:
            # A gateway that restarts again and again must not tell everybody each time. A clock that was
            # set back since tells nothing.
            self._last = now - max(0.0, since_s)
            self._due_at = max(self._due_at, self._last + APART_S)
        self._answered: OrderedDict[tuple[str, int], float] = OrderedDict()

    def begin(self, now: float) -> None:
        """Say who we are soon: we just came, or are another node from now on."""
        self._due_at = now + FIRST_AFTER_S + self._random.uniform(0, JITTER_S)

    def is_due(self, now: float) -> bool:
        """Tell whether everybody should hear of us now; if so it counts as said."""
        if now < self._due_at:
            return False
        self._due_at = now + EVERY_S + self._random.uniform(0, JITTER_S)
        self._last = now
        return True

    def may_answer(self, asker: int, now: float) -> bool:
        """Tell whether to answer a node that asks who we are."""
        return self._may("asked", asker, SAME_ASKER_S, ASKED_APART_S, now)

    def may_urge(self, stranger: int, now: float) -> bool:
        """Tell whether to tell a node who we are that lacks our key."""
        return self._may("lacks our key", stranger, URGENT_APART_S, URGENT_APART_S, now)

    def may_ask(self, stranger: int, now: float) -> bool:
        """Tell whether to ask a node that we hear, and don't know, who it is."""
        return self._may("stranger", stranger, STRANGER_S, APART_S, now)

    def _may(self, why: str, node: int, same_s: float, any_s: float, now: float) -> bool:
        last = self._answered.get((why, node))
        if (last is not None and now - last < same_s) or (self._last is not None and now - self._last < any_s):
            return False
        self._last = now
        self._answered[why, node] = now
        self._answered.move_to_end((why, node))
        while len(self._answered) > _MOST_ASKERS:
            self._answered.popitem(last=False)
        return True
