# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband outages``: what was away, when, why and for how long, and what became of what had to wait."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.ages import in_words
from gateway.cli import context
from gateway.cli.output import Form, Output, Row, show, when
from gateway.control import Control

_OTHERS = ("queue", "journal", "gateway")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("outages")(outages)


def outages(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="A bridge's name, or queue, journal, gateway; else all of them.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many of the latest.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, help="Only those of before this number.")] = None,
    output: Output = Form.TABLE,
) -> None:
    """List what was away, the latest first, and what became of the deliveries that had to wait for it."""
    control = context.of(ctx).control()
    found = control.get("/outages", limit=limit, before=before, **_which(control, name))["outages"]
    columns = {
        "no": lambda row: row["no"],
        "what": lambda row: row["name"] or row["kind"],
        "began": lambda row: when(row["began_ms"]),
        "lasted": _lasted,
        "reason": lambda row: row["reason"],
        "buffered": lambda row: row["buffered"] or "",
        "late": lambda row: row["late"] or "",
        "folded": lambda row: row["folded"] or "",
        "expired": lambda row: row["expired"] or "",
        "cancelled": lambda row: row["cancelled"] or "",
        "failed": lambda row: row["failed"] or "",
        "waiting": lambda row: row["waiting"] or "",
    }
    show(found, columns, output, empty="nothing has been away")


def _which(control: Control, name: str | None) -> dict[str, str]:
    if name is None:
        return {}
    bridges = [one["name"] for one in control.get("/bridges")]
    if name in bridges:
        return {"kind": "bridge", "name": name}
    if name not in _OTHERS:
        raise typer.BadParameter(f"there is no bridge called {name!r}; there is: {', '.join((*bridges, *_OTHERS))}")
    return {"kind": name}


def _lasted(row: Row) -> str:
    if row["ended_ms"] is None:
        return "still away"
    return "unknown: the clock was not right" if row["lasted_s"] is None else in_words(row["lasted_s"])
