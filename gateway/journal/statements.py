# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements that take many rows at once.

Each step of a statement gives the interpreter's lock away, and getting it back while the event loop is
busy may take half a millisecond. So what a batch writes or asks is one statement, not one a row: the rows are bound
as one VALUES list, padded with NULLs to one of few lengths so that SQLite's compiled statements are
found again. Answers come back packed, as one row of JSON.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final

SIZES: Final = (1, 4, 16, 64, 128, 256)


def many(connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[Any]]) -> Iterator[sqlite3.Cursor]:
    """Run a statement over rows: ``{values}`` in it becomes the VALUES list. A row of NULLs must do nothing."""
    for start in range(0, len(rows), SIZES[-1]):
        some = rows[start : start + SIZES[-1]]
        size = next(size for size in SIZES if len(some) <= size)
        width = len(some[0])
        bound = [*chain.from_iterable(some), *([None] * (width * (size - len(some))))]
        yield connection.execute(_with_values(statement, size, width), bound)


def write(connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a statement that answers nothing over rows."""
    for _ in many(connection, statement, rows):
        pass


@cache
def _with_values(statement: str, size: int, width: int) -> str:
    row = f"({','.join('?' * width)})"
    return statement.replace("{values}", f"(VALUES {','.join([row] * size)})")


def packed(
    connection: sqlite3.Connection, columns: Sequence[str], rest: str, bound: Sequence[Any] | Mapping[str, Any] = ()
) -> list[list[Any]]:
    """Return all rows of ``SELECT columns rest``, fetched in one step."""
    (text,) = connection.execute(_packing(tuple(columns), rest), bound).fetchone()
    rows: list[list[Any]] = json.loads(text)
    return rows


@cache
def _packing(columns: tuple[str, ...], rest: str) -> str:
    # SQLite keeps a subquery's order where it has a LIMIT; -1 is none.
    limit = "" if "LIMIT" in rest else " LIMIT -1"
    inner = ", ".join(f"{column} AS c{n}" for n, column in enumerate(columns))
    outer = ", ".join(f"c{n}" for n in range(len(columns)))
    return f"SELECT json_group_array(json_array({outer})) FROM (SELECT {inner} {rest}{limit})"  # noqa: S608 - ours
