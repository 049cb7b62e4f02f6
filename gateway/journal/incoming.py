# SPDX-License-Identifier: GPL-3.0-or-later
"""What every message brings, written as one statement: messages, deliveries, resume points and changes in their order.

Each step of a statement gives the interpreter's lock away, and the event loop keeps it for half a
millisecond when it is busy: with a statement a table, a batch waited longer for the lock than for the
disk. So all rows go into one view of many nameless columns, and temporary triggers (nothing of them is
in the file) put each where it belongs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from gateway.journal.rows import Row
from gateway.journal.statements import write

_MESSAGE, _DELIVERY, _CHANGE, _RESUME = 0, 1, 2, 3
_MESSAGE_COLUMNS: Final = ("seq", "id", "origin", "received_ms", "envelope", "remote_id")
_DELIVERY_COLUMNS: Final = (
    *("no", "id", "seq", "bridge", "address", "part", "parts", "expires_ms"),
    *("state", "changed_ms", "opening", "history", "body"),
)
_CHANGE_COLUMNS: Final = (
    *("id", "state", "at_ms", "remote_id", "generation", "ends", "line", "only_from", "also"),
    *("before", "before_from", "afresh", "opening"),
)
_RESUME_COLUMNS: Final = ("bridge", "point")
_WIDTH: Final = 14

_BACK = "state IN ('heard', 'delivered') AND {state} IN ('sent', 'heard') AND NOT {afresh}"
_LINES = "iif({before} IS NULL, {line}, iif(instr({before_from}, ',' || state || ','), {before}, '') || {line})"
_LONGER = f"""CASE WHEN length(history) < 4096 THEN history
    ELSE substr(history, 1, instr(history, char(10)))
        || substr(history, 2048 + instr(substr(history, 2048), char(10))) END || {_LINES}"""
_ADD_MESSAGE = """
    SELECT RAISE(ABORT, 'a known message') FROM alias WHERE id = {id};
    INSERT INTO message (seq, id, origin, received_ms, envelope)
        VALUES ({seq}, {id}, {origin}, {received_ms}, {envelope});
    INSERT OR REPLACE INTO counterpart (address, remote_id, seq, part)
        SELECT {origin}, {remote_id}, {seq}, 0 WHERE {remote_id} IS NOT NULL;"""
_ADD_DELIVERY = f"""
    INSERT INTO delivery ({", ".join(_DELIVERY_COLUMNS)})
        VALUES ({", ".join(f"{{{name}}}" for name in _DELIVERY_COLUMNS)}) ON CONFLICT (id) DO NOTHING;"""  # noqa: S608
_MAKE_CHANGE = f"""
    UPDATE delivery SET
        state = iif({_BACK}, state, {{state}}),
        changed_ms = iif({_BACK}, changed_ms, {{at_ms}}),
        history = iif({_BACK}, history, {_LONGER}),
        body = iif({{ends}}, NULL, body),
        remote_id = coalesce({{remote_id}}, remote_id),
        generation = coalesce({{generation}}, generation),
        opening = {{opening}}
    WHERE id = {{id}} AND ({{only_from}} IS NULL OR instr({{only_from}}, ',' || state || ','));"""  # noqa: S608

_SET_RESUME = "INSERT OR REPLACE INTO resume (bridge, point) VALUES ({bridge}, {point});"


def _trigger(kind: int, columns: Sequence[str], body: str) -> str:
    named = {name: f"new.c{place}" for place, name in enumerate(columns, 1)}
    return f"""CREATE TEMP TRIGGER incoming_{kind} INSTEAD OF INSERT ON incoming WHEN new.c0 = {kind} BEGIN
        {body.format(**named)} END;"""


_VIEW = f"CREATE TEMP VIEW incoming AS SELECT {', '.join(f'NULL AS c{place}' for place in range(_WIDTH))};"
_TRIGGERS = (
    _trigger(_MESSAGE, _MESSAGE_COLUMNS, _ADD_MESSAGE),
    _trigger(_DELIVERY, _DELIVERY_COLUMNS, _ADD_DELIVERY),
    _trigger(_CHANGE, _CHANGE_COLUMNS, _MAKE_CHANGE),
    _trigger(_RESUME, _RESUME_COLUMNS, _SET_RESUME),
)
_REST: Final = {
    _MESSAGE: (None,) * (_WIDTH - 1 - len(_MESSAGE_COLUMNS)),
    _RESUME: (None,) * (_WIDTH - 1 - len(_RESUME_COLUMNS)),
}
"""What fills the rows of those kinds up."""
_WRITE = "INSERT INTO incoming SELECT * FROM {values} WHERE column1 IS NOT NULL"


class Incoming:
    """Rows that are to be written together, in the order they were added."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rows: list[Row] = []
        connection.executescript(_VIEW + "".join(_TRIGGERS))

    def message(self, row: Row) -> None:
        """Add a message: seq, id, origin, received_ms, envelope, and what it is called where it came from or None."""
        self._rows.append((_MESSAGE, *row, *_REST[_MESSAGE]))

    def delivery(self, row: Row) -> None:
        """Add a delivery, unless it is there: its columns in the order of the table, without generation."""
        self._rows.append((_DELIVERY, *row))

    def change(self, row: Row, opening: int) -> None:
        """Add a change: see `rows.change_row`."""
        self._rows.append((_CHANGE, *row, opening))

    def resume(self, bridge: str, point: str) -> None:
        """Add where a source goes on."""
        self._rows.append((_RESUME, bridge, point, *_REST[_RESUME]))

    def write(self) -> None:
        """Write what was added; of many rows in a few statements. IntegrityError for a message that is known."""
        rows, self._rows = self._rows, []
        write(self._connection, _WRITE, rows)

    def write_at_once(self) -> bool:
        """Write what was added, which is few enough for one statement: outside of a transaction, one by itself.

        False: nothing was written and all is forgotten, for one of the messages is known.
        """
        try:
            self.write()
        except sqlite3.IntegrityError:
            return False
        return True

    def clear(self) -> None:
        """Forget what was added and not written: the transaction was rolled back."""
        self._rows.clear()
