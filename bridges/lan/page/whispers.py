# SPDX-License-Identifier: GPL-3.0-or-later
"""How much somebody was told alone since they looked: a hint in the rooms they are in meanwhile."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from bridges.lan.hall import Hall, Person

log = structlog.get_logger()

MOST_COUNTED = 20
MOST_PRESENT = 1_000
"""Of whom it is known up to where they looked; for another, counting begins anew."""
AGAIN_S = 1.0


class Whispers:
    """Of the people of one page."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._seen: OrderedDict[str, int] = OrderedDict()
        """By key: up to which arrival they looked, or nothing was for them."""

    def seen(self, person: Person, arrival: int) -> None:
        """Note that they looked, up to this line."""
        self._seen[person.key] = max(arrival, self._seen.pop(person.key, 0))
        if len(self._seen) > MOST_PRESENT:
            self._seen.popitem(last=False)

    async def count(self, person: Person, upto: int = 0) -> int:
        """Return how many lines for them alone they haven't seen, at most `MOST_COUNTED`.

        `upto`: the newest line that is known of any room, so that older ones needn't be looked through again. Of
        somebody who is new here nothing of before counts.
        """
        room = self._hall.own_room(person).name
        if person.key not in self._seen:
            newest = await self._hall.lines(room, limit=1)
            self.seen(person, max((upto, *(line.arrival for line in newest))))
            return 0
        lines = await self._hall.lines(room, after=self._seen[person.key], limit=MOST_COUNTED)
        new = [line for line in lines if line.sender != person.id and not line.gone]
        if not new:
            self.seen(person, max((upto, *(line.arrival for line in lines))))
        return len(new)

    async def counts(self, person: Person) -> AsyncGenerator[int]:
        """Yield how many there are, whenever something is said to them alone."""
        while True:
            try:
                async with aclosing(self._hall.follow(self._hall.own_room(person).name)) as lines:
                    if (count := await self.count(person)) > 0:
                        yield count  # it came since the page was written
                    async for line in lines:
                        if line.sender != person.id:
                            yield await self.count(person)
            except Exception as error:  # noqa: BLE001 - the hint is missing for a while; the room goes on
                log.warning("following somebody's own room failed", kind=type(error).__name__)
            await asyncio.sleep(AGAIN_S)
