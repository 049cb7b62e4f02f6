# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom to answer on air, and how seldom. Pure."""

from __future__ import annotations

from collections import OrderedDict

from bridges.meshtastic.places import PKI_BYTES, ROOM_REPLY_BYTES

ONCE_IN_S = 3600.0
MOST_NODES = 500


class Courtesy:
    """Remembers who was answered: one line an hour to one node, so that two gateways can't chat."""

    def __init__(self) -> None:
        self._answered: OrderedDict[str, float] = OrderedDict()

    def is_due(self, node: str, now: float) -> bool:
        """Tell whether a node should get an answer now; if so it counts as answered."""
        last = self._answered.get(node)
        if last is not None and now - last < ONCE_IN_S:
            return False
        self._answered[node] = now
        self._answered.move_to_end(node)
        while len(self._answered) > MOST_NODES:
            self._answered.popitem(last=False)
        return True


def answer(direct: str) -> str:
    """Return the one line, cut to fit a direct reply. It promises no more than is true."""
    line = f"Got it: on its way to {direct}".encode()[: ROOM_REPLY_BYTES - PKI_BYTES]
    return line.decode(errors="ignore")
