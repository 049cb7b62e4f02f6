# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines as they stand now: with the last words of whoever said them, marks, and how far they got. Knows rows."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bridges.lan.hall import Line, Mark
from gateway.model import NativeId, SenderId

MOST_MARKS = 16
"""Different emoji on one line that are shown."""
MOST_STANDINGS = 16
_MODERATED = frozenset({"matrix"})
"""Networks that themselves decide who may take back another's words."""
_VERIFYING = frozenset({"matrix"})
"""Networks that prove who says something."""

_LINES = "SELECT arrival, room, native, sender, name, network, text, said_ms, late, reply_to FROM line WHERE "
_COPY = (
    "EXISTS (SELECT 1 FROM copy JOIN line AS first ON first.native = copy.original"
    " WHERE copy.native = line.native AND first.room = line.room) AND "
)
"""What boxes said of a line on radio, and another heard there while they were apart, is that line: it stands once."""
_NATIVES = " IN (SELECT value FROM json_each(?))"


@dataclass(slots=True, kw_only=True)
class _About:
    """What there is about some lines."""

    edits: dict[tuple[str, str], str] = field(default_factory=dict)
    """By line and sender."""
    taken_back: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    """By line or mark: senders and networks that did."""
    marks: dict[str, list[tuple[str, str, str, str]]] = field(default_factory=lambda: defaultdict(list))
    standings: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def is_gone(self, native: str, sender: str, network: str) -> bool:
        """Whether something was taken back by somebody who may."""
        return any(
            by == sender or (via == network and network in _MODERATED) for by, via in self.taken_back.get(native, ())
        )

    def marks_on(self, native: str) -> tuple[Mark, ...]:
        """Return the marks on a line, those of the most first."""
        stands = (m for m in self.marks.get(native, ()) if not self.is_gone(m[2], m[0], m[3]))
        counts = Counter(emoji for _, emoji, _, _ in stands)
        return tuple(Mark(emoji=emoji, count=count) for emoji, count in counts.most_common(MOST_MARKS))


def lines_of(db: sqlite3.Connection, where: str, values: Sequence[object], *, copies: bool = False) -> list[Line]:
    """Return the lines of which this holds, all but copies or these alone; `where` is this package's own text."""
    which = _COPY if copies else f"NOT {_COPY}"
    rows = db.execute(_LINES + which + where, tuple(values)).fetchall()
    known = _about(db, [row[2] for row in rows])
    return [replace(_line(row, known), is_copy=copies) for row in rows]


def _line(row: tuple[int, str, str, str, str, str, str, int, int, str | None], known: _About) -> Line:
    arrival, room, native, sender, name, network, text, said_ms, late, reply_to = row
    gone = known.is_gone(native, sender, network)
    return Line(
        id=NativeId(native),
        arrival=arrival,
        room=room,
        sender=SenderId(sender),
        name=name,
        network=network,
        verified=network in _VERIFYING,
        text="" if gone else known.edits.get((native, sender), text),
        said_ms=said_ms,
        late=bool(late),
        reply_to=None if reply_to is None else NativeId(reply_to),
        marks=known.marks_on(native),
        state="; ".join(known.standings.get(native, ())[:MOST_STANDINGS]),
        gone=gone,
    )


def _about(db: sqlite3.Connection, natives: Sequence[str]) -> _About:
    known = _About()
    asked = json.dumps(natives)
    marks = db.execute(f"SELECT target, sender, emoji, native, network FROM mark WHERE target{_NATIVES}", (asked,))  # noqa: S608
    for target, *mark in marks:
        known.marks[target].append((mark[0], mark[1], mark[2], mark[3]))
    everything = json.dumps([*natives, *(mark[2] for some in known.marks.values() for mark in some)])
    changes = db.execute(
        f"SELECT target, sender, kind, network, text FROM change WHERE target{_NATIVES}",  # noqa: S608 - constants
        (everything,),
    )
    for target, sender, kind, network, text in changes:
        if kind == "edit":
            known.edits[target, sender] = text
        else:
            known.taken_back[target].add((sender, network))
    standings = db.execute(f"SELECT about, leg, words FROM standing WHERE about{_NATIVES} ORDER BY box, leg", (asked,))  # noqa: S608
    for about, leg, words in standings:
        known.standings[about].append(f"{leg}: {words}")
    return known
