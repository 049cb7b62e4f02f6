# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what a command found: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from gateway.ages import lasted
from gateway.model.units import seconds
from gateway.wording import shown


class Form(StrEnum):
    """How to write what was found."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


Output = Annotated[Form, typer.Option("-o", "--output", help="How to write it.")]

Row = Mapping[str, Any]
_PENDING = frozenset({"waiting", "queued", "sending"})
_LONGEST = 500
"""Characters of one thing in a table."""
_LONGEST_PART = 2_000
"""Characters of one of several: a list of rooms, say."""

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


def age_s(text: str | None) -> int | None:
    """Read an age that was given as an option: seconds."""
    try:
        return None if text is None else seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def histories(deliveries: Sequence[Row], now_ms: int | None = None) -> None:
    """Write every state these deliveries were in: when, for how long, and why.

    `now_ms`: by the gateway's clock; then the states of those that still have to leave have lasted until now.
    """
    rows = [row for one in deliveries for row in _states(one, now_ms)]
    columns = {
        "delivery": lambda row: row["id"],
        "to": lambda row: row["to"],
        "part": lambda row: row["part"],
        "at": lambda row: when(row["at_ms"]),
        "state": lambda row: row["state"],
        "for": lambda row: row["for"],
        "reason": lambda row: row["reason"],
    }
    show(rows, columns, Form.TABLE, empty="it goes nowhere else: no route leads on from where it was said")


def _states(delivery: Row, now_ms: int | None) -> Iterator[Row]:
    changes = delivery["history"]
    for nth, change in enumerate(changes):
        is_last = nth + 1 == len(changes)
        until_ms = now_ms if is_last else changes[nth + 1]["at_ms"]
        lasts = is_last and change["state"] in _PENDING
        known = until_ms is not None and (lasts or not is_last)
        yield {
            "id": delivery["id"] if nth == 0 else "",
            "to": delivery["to"] if nth == 0 else "",
            "part": f"{delivery['part']}/{delivery['parts']}" if nth == 0 else "",
            **change,
            "for": lasted(until_ms - change["at_ms"]) + (" so far" if lasts else "") if known else "",
        }


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
        table.add_row(*(Text(cell(value(row))) for value in columns.values()))
    console.print(table)


def cell(value: object) -> str:
    """Return what stands in a table: one line, and of several things each in full as far as a line goes."""
    if isinstance(value, tuple):
        return ", ".join(shown(part, most=_LONGEST_PART) for part in value)
    return shown(value, most=_LONGEST)
