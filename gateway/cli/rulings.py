# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband permissions`` and ``mutes``: who may what, by the file and by what was decided in chats."""

from __future__ import annotations

import typer

from gateway.ages import in_words
from gateway.cli import context
from gateway.cli.output import Form, Output, Row, show, when


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("permissions")(permissions)
    app.command("mutes")(mutes)


def permissions(ctx: typer.Context, output: Output = Form.TABLE) -> None:
    """List who may what: the file's rules, then those made in chats, and by whom."""
    columns = {
        "who": lambda row: row["pattern"],
        "may": lambda row: row["level"],
        "from": lambda row: row["source"] + (": overruled" if row["overruled"] else ""),
        "by": lambda row: row["by"] or "",
        "at": lambda row: when(row["at_ms"]),
    }
    show(context.of(ctx).control().get("/permissions"), columns, output, empty="nobody may anything")


def mutes(ctx: typer.Context, output: Output = Form.TABLE) -> None:
    """List whose messages are not carried, by whose word and for how long still."""
    columns = {
        "who": lambda row: row["sender"],
        "by": lambda row: f"{row['by']} at box {row['box']}" if row["box"] else row["by"],
        "at": lambda row: when(row["at_ms"]),
        "still": _still,
    }
    show(context.of(ctx).control().get("/mutes"), columns, output, empty="nobody is muted")


def _still(row: Row) -> str:
    if row["ban"]:
        return "banned"
    return "until it is taken back" if row["left_s"] is None else in_words(row["left_s"])
