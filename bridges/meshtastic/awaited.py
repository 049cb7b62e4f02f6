# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packets of ours wait for a verdict, in a file: a gateway that restarts still knows whose it is.

A line each time something became known of one; the last counts. No text is in it. It is not synced: after a
power cut a verdict may find nobody, and its delivery ends as one that was not acknowledged.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.model import Certainty

FILE = "awaited.jsonl"
MOST_LINES = 1024
"""Past it the file is written anew, with what still counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One packet that a radio has taken, and what is known of it."""

    id: int
    key: str
    node: int
    known: Certainty | None
    """None: it was refused, and nothing more is to come."""
    within_s: float


class Awaited:
    """At most `limit` of them; past it the oldest is forgotten."""

    def __init__(self, folder: Path, *, limit: int, count: Callable[[str], None]) -> None:
        self._path = folder / FILE
        self._limit = limit
        self._count = count
        self._kept: OrderedDict[int, Waiting] = OrderedDict()
        self._lines = 0

    def load(self) -> list[Waiting]:
        """Return those of before, oldest first; what can't be read is counted and left out."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError:
            self._count("awaited_unreadable")
            return []
        for line in lines:
            self._take(line)
        self._write_anew()
        return list(self._kept.values())

    def keep(self, waiting: Waiting) -> None:
        """Note one, or what became of it."""
        self._hold(waiting)
        if self._lines >= MOST_LINES:
            self._write_anew()
            return
        self._lines += 1
        self._write([waiting], append=True)

    def _take(self, line: str) -> None:
        try:
            told = json.loads(line)
            known = told["known"]
            waiting = Waiting(
                id=int(told["id"]),
                key=str(told["key"]),
                node=int(told["node"]),
                known=Certainty(known) if known else None,
                within_s=float(told["within_s"]),
            )
        except (ValueError, KeyError, TypeError):
            # The end of a file that a power cut left, as a rule.
            self._count("awaited_unreadable")
            return
        self._hold(waiting)

    def _hold(self, waiting: Waiting) -> None:
        self._kept.pop(waiting.id, None)
        if waiting.known is not None:
            self._kept[waiting.id] = waiting
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def _write_anew(self) -> None:
        self._lines = len(self._kept)
        self._write(self._kept.values(), append=False)

    def _write(self, some: Iterable[Waiting], *, append: bool) -> None:
        text = "".join(f"{_line(each)}\n" for each in some)
        fresh = self._path if append else self._path.with_suffix(".new")
        try:
            with fresh.open("a" if append else "w", encoding="utf-8") as file:
                file.write(text)
            if not append:
                fresh.replace(self._path)
        except OSError:
            self._count("awaited_not_kept")


def _line(waiting: Waiting) -> str:
    return json.dumps(
        {
            "id": waiting.id,
            "key": waiting.key,
            "node": waiting.node,
            "known": waiting.known,
            "within_s": waiting.within_s,
        }
    )
