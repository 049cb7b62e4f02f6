# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom to answer on air, and how seldom. Pure."""

from __future__ import annotations

from collections import OrderedDict

from bridges.meshtastic.places import PKI_BYTES, ROOM_REPLY_BYTES

THANKS_EVERY_S = 3600.0
"""One line an hour to one node, so that two gateways can't chat."""
MOST_NODES = 500


class Courtesy:
    """Remembers who was answered of late, the last `MOST_NODES` of them."""

    def __init__(self, every_s: float) -> None:
        """`every_s`: one node is answered no more often."""
        self._every_s = every_s
        self._answered: OrderedDict[str, float] = OrderedDict()

    def is_due(self, node: str, now: float) -> bool:
        """Tell whether a node may get an answer now."""
        last = self._answered.get(node)
        return last is None or now - last >= self._every_s

    def answered(self, node: str, now: float) -> None:
        """Note that a node is answered."""
        self._answered[node] = now
        self._answered.move_to_end(node)
        while len(self._answered) > MOST_NODES:
            self._answered.popitem(last=False)


def answer(direct: str) -> str:
    """Return the one line, cut to fit a direct reply. It promises no more than is true."""
    line = f"Got it: on its way to {direct}".encode()[: ROOM_REPLY_BYTES - PKI_BYTES]
    return line.decode(errors="ignore")
