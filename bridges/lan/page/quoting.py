# SPDX-License-Identifier: GPL-3.0-or-later
"""What a line answers: the hall names it, the page shows how it began."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from bridges.lan.hall import Line
from bridges.lan.page.plain import one_line
from bridges.lan.page.rendering import Quoted
from gateway.model import NativeId

MOST_REMEMBERED = 2_000


class Quotes:
    """The beginnings of the lines that were shown last, in all rooms."""

    def __init__(self) -> None:
        self._known: OrderedDict[NativeId, Quoted] = OrderedDict()

    def remember(self, lines: Iterable[Line]) -> None:
        """Lines are shown."""
        for line in lines:
            self._known[line.id] = Quoted(name=one_line(line.name, 40), text=one_line(line.text))
            self._known.move_to_end(line.id)
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)

    def get(self, line: NativeId) -> Quoted | None:
        """Return how a line began; None: it is no longer known."""
        return self._known.get(line)
