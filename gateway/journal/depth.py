# SPDX-License-Identifier: GPL-3.0-or-later
"""How much waits, by age, in steps: a million is counted without holding up who reads beside it.

Ages go by the order of acceptance: a message's column is that of the time it was accepted at, and
which messages those are is looked up once a limit. So the count reads one index and nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.model import BridgeName

STEP: Final = 2000
"""Deliveries counted at once: some milliseconds."""

_WAITING = """FROM delivery d INDEXED BY delivery_pending
    WHERE d.bridge = ? AND d.state IN ('waiting', 'queued', 'sending') AND d.seq > ?"""

NEXT: Final = 500
"""Messages received next after a limit that are looked at: one of them came in at once, or ages are a little off."""
_EARLIER = "SELECT seq FROM message WHERE received_ms <= ? ORDER BY received_ms DESC, seq DESC LIMIT 1"
# Not those of an earlier run whose clock was ahead.
_LATER = f"""SELECT min(seq) FROM (SELECT seq FROM message WHERE received_ms > ? AND received_ms <=
    (SELECT max(received_ms) FROM (SELECT received_ms FROM message ORDER BY seq DESC LIMIT {NEXT}))
    ORDER BY received_ms LIMIT {NEXT})"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was counted in one step."""

    upto: int | None
    """Where the next begins; None: that was all."""
    counts: tuple[tuple[str, int, int], ...]
    """Conversation (empty where all are one), column, how many."""


def edges(connection: sqlite3.Connection, times_ms: Sequence[int]) -> tuple[int, ...]:
    """Return for each time the sequence of the last message that was accepted by then; 0 if none was.

    What was received by then and accepted much later (an encrypted one whose key was late) counts as younger: so
    nothing that was accepted before it is taken for as old.
    """
    return tuple(_edge(connection, time_ms) for time_ms in times_ms)


def _edge(connection: sqlite3.Connection, time_ms: int) -> int:
    earlier = connection.execute(_EARLIER, (time_ms,)).fetchone()
    if earlier is None:
        return 0
    (later,) = connection.execute(_LATER, (time_ms,)).fetchone()
    return int(earlier[0] if later is None else min(earlier[0], later - 1))


def step(
    connection: sqlite3.Connection, bridge: BridgeName, after: int, edges: Sequence[int], *, by_conversation: bool
) -> Step:
    """Count what waits for a bridge after a sequence, oldest first: about `STEP`, never some of one sequence only."""
    (upto,) = connection.execute(
        f"SELECT max(seq) FROM (SELECT d.seq {_WAITING} ORDER BY d.seq LIMIT {STEP})",  # noqa: S608 - constants
        (bridge, after),
    ).fetchone()
    if upto is None:
        return Step(upto=None, counts=())
    column = " + ".join(["0", *(f"(d.no >> 12 <= {int(edge)})" for edge in edges)])
    who = "(SELECT a.conversation FROM address a WHERE a.no = d.address)" if by_conversation else "''"
    rows = connection.execute(
        f"SELECT {who} AS c0, {column} AS c1, count(*) {_WAITING} AND d.seq <= ? GROUP BY c0, c1",
        (bridge, after, upto),
    ).fetchall()
    return Step(upto=upto, counts=tuple((conversation, nth, n) for conversation, nth, n in rows))
