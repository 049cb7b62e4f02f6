# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stopped gateway's journal says of messages: whether it has them, and what became of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.model import MessageId, NativeId, message_id
from tests.chaos.ledger import Excuse

VISIBLE_ENDS = frozenset({"expired", "failed", "cancelled", "folded"})
"""States in which somebody can see where it is and why."""


@dataclass(frozen=True, slots=True)
class Fate:
    """One delivery: its last state and reason, how many fresh keys it was given, when it was where."""

    state: str
    reason: str
    generation: int
    conversation: str


@contextmanager
def opened(journal: Path) -> Iterator[sqlite3.Connection]:
    """Open a journal to read; the gateway has ended."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        yield connection


def fates(connection: sqlite3.Connection, id: MessageId) -> list[Fate]:
    """Return what became of a message, an entry a delivery; none: the journal doesn't have it."""
    rows = connection.execute(
        "SELECT d.state, d.history, d.generation, a.conversation FROM message m JOIN delivery d ON d.no >> 12 = m.seq"
        " JOIN address a ON a.no = d.address WHERE m.id = ?",
        (id,),
    )
    return [Fate(state, _reason(history), generation, where) for state, history, generation, where in rows]


def place_of(connection: sqlite3.Connection, id: MessageId) -> int | None:
    """Return where the message stands in the order of acceptance; None: it was not accepted."""
    row = connection.execute("SELECT seq FROM message WHERE id = ?", (id,)).fetchone()
    return None if row is None else row[0]


@contextmanager
def why_not_there(journal: Path, native_id: Callable[[str, int], str]) -> Iterator[Excuse]:
    """Give what excuses a message that didn't arrive: a final state with a reason, in the journal."""
    with opened(journal) as connection:

        def excuse(stream: str, number: int) -> str | None:
            found = fates(connection, message_id(NativeId(native_id(stream, number))))
            ends = [f"{fate.state}: {fate.reason}" for fate in found if fate.state in VISIBLE_ENDS]
            return ends[0] if ends and len(ends) == len(found) else None

        yield excuse


def _reason(history: str) -> str:
    return " ".join(history.splitlines()[-1].split(" ")[2:]) if history else ""
