# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits for a "yes" by who asked for it, where they asked. In memory only: a restart forgets it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

WITHIN_S = 300.0
MOST = 100
"""What waits at once; past it the oldest is forgotten, and whoever confirms it is told to ask again."""

Act = Callable[[], Awaitable[str]]


@dataclass(slots=True)
class Pending:
    """Something that is done when it was confirmed as often as it takes."""

    act: Act
    until_s: float
    again: str = ""
    """What is said when it must be confirmed once more; empty: this time is enough."""


class Confirmations:
    """One per person and room; a newer wish replaces the older. Time is passed in."""

    def __init__(self) -> None:
        self._pending: OrderedDict[tuple[str, str], Pending] = OrderedDict()

    def ask(self, who: str, room_id: str, act: Act, *, now_s: float, again: str = "") -> None:
        """Wait for a yes, and for a second one if there is more to say first."""
        self._pending.pop((who, room_id), None)
        self._pending[who, room_id] = Pending(act=act, until_s=now_s + WITHIN_S, again=again)
        if len(self._pending) > MOST:
            self._pending.popitem(last=False)

    def confirm(self, who: str, room_id: str, now_s: float) -> Pending | None:
        """Take a yes: what was waiting for it, which now is done if its `again` is empty; None if nothing was."""
        pending = self._pending.pop((who, room_id), None)
        if pending is None or now_s > pending.until_s:
            return None
        if pending.again:
            self.ask(who, room_id, pending.act, now_s=now_s)
        return pending
