# SPDX-License-Identifier: GPL-3.0-or-later
"""A line as it goes out in events: written once a language, however many read it."""

from __future__ import annotations

from collections import OrderedDict

from bridges.lan.hall import Line
from bridges.lan.page.quoting import Quotes
from bridges.lan.page.rendering import Quoted, line_html
from gateway.model import NativeId

MOST_WRITTEN = 600


class Told:
    """A line that goes out, and what it looks like in the languages it was asked for in."""

    def __init__(self, line: Line, quoted: Quoted | None) -> None:
        self.line = line
        self._quoted = quoted
        self._markup: dict[tuple[str, str], bytes] = {}

    def is_of(self, line: Line, quoted: Quoted | None) -> bool:
        """Whether it says just that."""
        return self.line == line and self._quoted == quoted

    def data(self, language: str, asked: str) -> bytes:
        """Return the ``data:`` lines of its event."""
        found = self._markup.get((language, asked))
        if found is None:
            markup = line_html(language, asked, self.line, self._quoted)
            found = "".join(f"data: {row}\n" for row in markup.splitlines() if row.strip()).encode()
            self._markup[language, asked] = found
        return found


class Telling:
    """The lines that were told last, as they were written."""

    def __init__(self, quotes: Quotes) -> None:
        self._quotes = quotes
        self._told: OrderedDict[NativeId, Told] = OrderedDict()

    def of(self, line: Line) -> Told:
        """Return a line as it is told; one that changed is written anew."""
        self._quotes.remember([line])
        quoted = self._quotes.get(line.reply_to) if line.reply_to is not None else None
        told = self._told.pop(line.id, None)
        if told is None or not told.is_of(line, quoted):
            told = Told(line, quoted)
        self._told[line.id] = told
        if len(self._told) > MOST_WRITTEN:
            self._told.popitem(last=False)
        return told
