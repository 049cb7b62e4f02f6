# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband dead-letters``: what failed for good, until someone sends it again or drops it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import context
from gateway.cli.output import Form, Output, Row, say, show, show_one, shown, when
from gateway.cli.queue import each
from gateway.control import Control, Refused, segment

Ids = Annotated[list[str] | None, typer.Argument(help="Dead letters' ids.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


def build() -> typer.Typer:
    """Return the group."""
    app = typer.Typer(help="What failed for good.", invoke_without_command=True)
    app.callback()(letters)
    app.command("list")(list_letters)
    app.command("show")(show_letter)
    app.command("redrive")(redrive)
    app.command("drop")(drop)
    return app


def letters(ctx: typer.Context, output: Output = Form.TABLE) -> None:
    """List the dead letters; or show, redrive, drop."""
    if ctx.invoked_subcommand is None:
        list_letters(ctx, output)


def list_letters(ctx: typer.Context, output: Output = Form.TABLE) -> None:
    """List them in the order their messages were accepted."""
    columns = {
        "id": lambda row: row["id"],
        "to": lambda row: row["to"],
        "failed": lambda row: when(row["failed_ms"]),
        "reason": lambda row: row["reason"],
        "sender": lambda row: row["sender"],
        "text": lambda row: shown(row["text"]),
    }
    show(list(_pages(context.of(ctx).control())), columns, output, empty="there are no dead letters")


def show_letter(
    ctx: typer.Context, id: Annotated[str, typer.Argument(help="Its id.")], output: Output = Form.TABLE
) -> None:
    """Show one with its whole text."""
    found = next((row for row in _pages(context.of(ctx).control()) if row["id"] == id), None)
    if found is None:
        raise Refused(404, f"there is no dead letter {id!r}")
    show_one(found, output, _tell)


def _tell(row: Row) -> None:
    typer.echo(f"{row['id']} part {row['part']}/{row['parts']} of message {row['message']}")
    typer.echo(f"from {shown(row['sender'])} in {row['origin']} to {row['to']}")
    typer.echo(f"failed {when(row['failed_ms'])}: {row['reason']}")
    typer.echo(shown(row["text"], most=10_000))


def redrive(ctx: typer.Context, ids: Ids = None, every: All = False) -> None:
    """Send dead letters again, at the end of their lanes."""
    control = context.of(ctx).control()
    _each(control, ids, lambda one: control.post(f"/dead-letters/{segment(one)}/redrive"), "sent again", every=every)


def drop(ctx: typer.Context, ids: Ids = None, every: All = False) -> None:
    """Forget dead letters. They can't be sent after that."""
    control = context.of(ctx).control()
    _each(control, ids, lambda one: control.delete(f"/dead-letters/{segment(one)}"), "dropped", every=every)


def _each(control: Control, ids: list[str] | None, do: Any, done: str, *, every: bool) -> None:
    if bool(ids) == every:
        say("name dead letters by their ids, or say --all")
        raise typer.Exit(2)
    each(ids or [row["id"] for row in _pages(control)], do, done)


def _pages(control: Control) -> Any:
    return control.pages("/dead-letters", "dead_letters")
