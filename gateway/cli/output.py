# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what a command found: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer


class Form(StrEnum):
    """How to write what was found."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


Output = Annotated[Form, typer.Option("-o", "--output", help="How to write it.")]

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], object]]
"""Heading → what stands there."""


def show(rows: Sequence[Row], columns: Columns, form: Form, *, empty: str) -> None:
    """Write rows to standard output; a table that would be empty is one line on standard error."""
    match form:
        case Form.JSON:
            write_json(list(rows))
        case Form.JSONL:
            for row in rows:
                typer.echo(json.dumps(row, ensure_ascii=False))
        case Form.TABLE if rows:
            _table(rows, columns)
        case Form.TABLE:
            say(empty)


def show_one(row: Row, form: Form, as_text: Callable[[Row], None]) -> None:
    """Write one thing: in words, or as JSON."""
    match form:
        case Form.JSON:
            write_json(row)
        case Form.JSONL:
            typer.echo(json.dumps(row, ensure_ascii=False))
        case Form.TABLE:
            as_text(row)


def write_json(value: Any) -> None:
    """Write indented JSON to standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def say(words: str) -> None:
    """Say something to the person, on standard error."""
    typer.echo(words, err=True)


def when(at_ms: int | None) -> str:
    """Write a time of the gateway's clock in this terminal's zone."""
    return "" if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def shown(text: object, most: int = 60) -> str:
    """Return a text as one line that can't steer the terminal."""
    line = "".join(char if char.isprintable() else " " for char in " ".join(str(text).split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _table(rows: Sequence[Row], columns: Columns) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - programs that ask for JSON need not wait for it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    # A pipe has no width: let lines be as long as they are, so that nothing is cut for `grep`.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 400)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(value(row), most=500)) for value in columns.values()))
    console.print(table)
