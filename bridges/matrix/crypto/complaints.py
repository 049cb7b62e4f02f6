# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells a room, seldom, that somebody in it can't be read."""

from __future__ import annotations

from collections import OrderedDict

from bridges.matrix.crypto.parking import Overdue, Parking
from bridges.matrix.notices import Notices
from bridges.matrix.rooms import Rooms
from gateway.model import BridgeContext

GRACE_MS = 30_000
"""Keys are often a little later than what they open."""
EVERY_MS = 3_600_000
"""One notice a sender and room."""
MAX_REMEMBERED = 1_000


class Complaints:
    """Remembers whom it told of; the transaction id holds for the hour, also over a restart."""

    def __init__(
        self, context: BridgeContext, rooms: Rooms, notices: Notices, parking: Parking, *, is_said: bool
    ) -> None:
        self._context = context
        self._rooms = rooms
        self._notices = notices
        self._parking = parking
        self._is_said = is_said
        self._told_ms: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def tell(self) -> None:
        """Tell of whatever waits for its key longer than `GRACE_MS`. LinkDown, AuthFailed if that fails."""
        now_ms = self._context.clock.now_ms()
        for overdue in self._parking.overdue(now_ms - GRACE_MS):
            whom = overdue.room_id, overdue.sender
            if now_ms - self._told_ms.get(whom, 0) < EVERY_MS:
                continue
            if self._is_said and self._rooms.is_routed(overdue.room_id) and not self._rooms.is_closed(overdue.room_id):
                about = f"undecryptable {overdue.sender} {now_ms // EVERY_MS}"
                await self._notices.say(overdue.room_id, words(overdue), about=about)
            self._parking.told(overdue, now_ms - GRACE_MS)
            self._told_ms[whom] = now_ms
            if len(self._told_ms) > MAX_REMEMBERED:
                self._told_ms.popitem(last=False)


def words(overdue: Overdue) -> str:
    """Return what the room is told."""
    what = "A message" if overdue.number == 1 else f"{overdue.number} messages"
    return (
        f"{what} from {overdue.sender} can't be decrypted by the gateway yet. "
        "What waits is carried on, with its own time, if the key comes within a week."
    )
