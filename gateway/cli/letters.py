# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband dead-letters``: what failed for good, until someone sends it again or drops it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import context, redriving
from gateway.cli.output import Form, Output, Row, histories, say, show, show_one, when
from gateway.cli.queue import each
from gateway.control import Control, segment
from gateway.wording import shown

Ids = Annotated[list[str] | None, typer.Argument(help="Dead letters' ids.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Destination = Annotated[str | None, typer.Option(help="Only those for this bridge.")]
Reason = Annotated[str | None, typer.Option(help="Only those with these words in their reason.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


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
        list_letters(ctx, output=output)


def list_letters(
    ctx: typer.Context,
    *,
    destination: Destination = None,
    reason: Reason = None,
    limit: Annotated[int | None, typer.Option(min=1, max=500, help="Only so many; else all.")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Only those of messages before this number.")] = None,
    output: Output = Form.TABLE,
) -> None:
    """List them; those whose messages were accepted last come first."""
    control = context.of(ctx).control()
    query = {"destination": destination, "reason": reason}
    if limit is None and before is None:
        rows = list(_pages(control, query))
    else:
        rows = control.get("/dead-letters", limit=limit or 100, before=before, **query)["dead_letters"]
    columns = {
        "no": lambda row: row["seq"],
        "id": lambda row: row["id"],
        "to": lambda row: row["to"],
        "failed": lambda row: when(row["failed_ms"]),
        "reason": lambda row: row["reason"],
        "sender": lambda row: row["sender"],
        "text": lambda row: shown(row["text"]),
    }
    show(rows, columns, output, empty="there are no dead letters")


def show_letter(
    ctx: typer.Context, id: Annotated[str, typer.Argument(help="Its id.")], output: Output = Form.TABLE
) -> None:
    """Show one with its whole text and every state it was in."""
    show_one(context.of(ctx).control().get(f"/dead-letters/{segment(id)}"), output, _tell)


def _tell(row: Row) -> None:
    typer.echo(f"{row['id']} part {row['part']}/{row['parts']} of message {row['message']}")
    typer.echo(f"from {shown(row['sender'])} in {shown(row['origin'])} to {shown(row['to'], most=500)}")
    typer.echo(f"failed {when(row['failed_ms'])}: {shown(row['reason'], most=500)}")
    typer.echo(shown(row["text"], most=10_000))
    histories([row])


def redrive(
    ctx: typer.Context,
    ids: Ids = None,
    *,
    every: All = False,
    destination: Destination = None,
    reason: Reason = None,
    pace: Annotated[int, typer.Option(min=1, max=6000, help="Letters a minute.")] = 60,
    yes: Yes = False,
    detach: Annotated[bool, typer.Option("--detach", help="Don't wait for the end; the gateway goes on.")] = False,
    progress: Annotated[bool, typer.Option("--progress", help="Only show how far it is.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop what is going on.")] = False,
) -> None:
    """Send dead letters again, at a pace, at the end of their lanes; says first what that costs on the air.

    The gateway does it by itself, also after a restart, and waits while much else waits to go there.
    """
    control = context.of(ctx).control()
    if stop:
        control.delete("/dead-letters/redrive")
    if stop or progress:
        redriving.tell(control)
        return
    asked = _chosen(ids, destination, reason, every=every)
    redriving.say_price(control, asked, pace)
    _agree(yes=yes, to="send them again")
    redriving.redrive(control, asked, pace, wait=not detach)


def drop(
    ctx: typer.Context,
    ids: Ids = None,
    *,
    every: All = False,
    destination: Destination = None,
    reason: Reason = None,
    yes: Yes = False,
) -> None:
    """Forget dead letters. They can't be sent after that."""
    control = context.of(ctx).control()
    asked = _chosen(ids, destination, reason, every=every)
    if ids:
        each(ids, lambda one: control.delete(f"/dead-letters/{segment(one)}"), "dropped")
        return
    say(f"{control.post('/dead-letters/price', asked)['total']} dead letters or more")
    _agree(yes=yes, to="forget them for good")
    more = True
    while more:
        dropped = control.post("/dead-letters/drop", asked)
        more = dropped["more"]
        for one in dropped["ids"]:
            typer.echo(one)


def _chosen(ids: list[str] | None, destination: str | None, reason: str | None, *, every: bool) -> dict[str, Any]:
    if bool(ids) == (every or destination is not None or reason is not None):
        say("name dead letters by their ids, or say --all, --destination or --reason")
        raise typer.Exit(2)
    return {"ids": ids or [], "destination": destination, "reason": reason or ""}


def _agree(*, yes: bool, to: str) -> None:
    if yes:
        return
    if not redriving.someone_is_there():
        say(f"nobody is here to ask: add --yes to {to}")
        raise typer.Exit(2)
    if not typer.confirm(f"{to[0].upper()}{to[1:]}?", err=True):
        raise typer.Exit(1)


def _pages(control: Control, query: dict[str, str | None]) -> Any:
    return control.pages("/dead-letters", "dead_letters", **query)
