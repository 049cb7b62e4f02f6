# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own packets: told from everybody else's when they come back, and sent again while nobody answers. Pure.

As firmware `ReliableRouter` does it: three transmissions, then MAX_RETRANSMIT; that a neighbour repeats
one ends it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

TRIES = 3
MOST_SENT = 512
MOST_PENDING = 128


@dataclass(slots=True, kw_only=True)
class Pending:
    """A packet that wants an acknowledgement, and has none yet."""

    id: int
    to: int
    datagram: bytes
    next_at: float
    tries: int = 1


class Sent:
    """The last packets of ours, at most `MOST_SENT`, and of them those that wait to be acknowledged.

    At most `MOST_PENDING` wait: past it the oldest is given up before its time.
    """

    def __init__(self, again_after_s: float) -> None:
        self._again_after_s = again_after_s
        self._content: OrderedDict[int, bytes] = OrderedDict()
        self._pending: OrderedDict[int, Pending] = OrderedDict()

    def add(self, id: int, content: bytes) -> None:
        """Note a packet that goes out, by its id and encrypted content."""
        self._content[id] = content
        self._content.move_to_end(id)
        while len(self._content) > MOST_SENT:
            self._content.popitem(last=False)

    def wait(self, id: int, *, to: int, datagram: bytes, now: float) -> None:
        """Send it again until somebody answers."""
        self._pending[id] = Pending(id=id, to=to, datagram=datagram, next_at=now + self._again_after_s)
        self._pending.move_to_end(id)

    def is_ours(self, id: int, content: bytes) -> bool:
        """Tell whether we sent this very packet."""
        return self._content.get(id) == content

    def knows(self, id: int) -> bool:
        """Tell whether we sent a packet of this id."""
        return id in self._content

    def settle(self, id: int, sender: int | None = None) -> bool:
        """Stop waiting: somebody repeated it, or `sender` answered it; False if nobody waits for that."""
        pending = self._pending.get(id)
        if pending is None or sender not in (None, pending.to):
            return False
        del self._pending[id]
        return True

    def due(self, now: float) -> tuple[list[Pending], list[Pending]]:
        """Return what is to be sent again now, and what is given up."""
        again: list[Pending] = []
        given_up = [self._pending.popitem(last=False)[1] for _ in range(len(self._pending) - MOST_PENDING)]
        for pending in [each for each in self._pending.values() if each.next_at <= now]:
            if pending.tries >= TRIES:
                del self._pending[pending.id]
                given_up.append(pending)
            else:
                pending.tries += 1
                pending.next_at = now + self._again_after_s
                again.append(pending)
        return again, given_up
