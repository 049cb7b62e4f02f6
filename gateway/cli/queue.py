# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband queue``: what waits."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer

from gateway.ages import AGE_NAMES, in_words
from gateway.cli import context
from gateway.cli.output import Columns, Form, Output, Row, say, show, when
from gateway.control import Refused, segment
from gateway.wording import shown

Ids = Annotated[list[str], typer.Argument(help="Deliveries' ids.")]


def build() -> typer.Typer:
    """Return the group."""
    app = typer.Typer(help="What waits to be sent.", invoke_without_command=True)
    app.callback()(shape)
    app.command("list")(list_waiting)
    app.command("retry")(retry)
    app.command("cancel")(cancel)
    return app


class By(StrEnum):
    """What there is a row for."""

    DESTINATION = "destination"
    CONVERSATION = "conversation"


def shape(
    ctx: typer.Context,
    by: Annotated[By, typer.Option(help="What has a row of its own, besides all and each destination.")] = (
        By.DESTINATION
    ),
    output: Output = Form.TABLE,
) -> None:
    """Show how much waits for each destination, by age (T: in all); or list, retry, cancel."""
    if ctx.invoked_subcommand is not None:
        return
    found = context.of(ctx).control().get("/queue", by=by.value)
    if found["queue"]["state"] != "up":
        say(f"the queue is {found['queue']['state']}: {found['queue']['reason']}")
    show([found["total"], *_with_conversations(found)], _columns(by), output, empty="no bridge is configured")
    if output is Form.TABLE:
        _tell_what_keeps(found["destinations"])
    if output is Form.TABLE and found["total"]["younger"]:
        say(f"at least: {found['total']['younger']} younger ones are in T only, for counting all would take too long")


def _tell_what_keeps(destinations: list[Row]) -> None:
    for one in destinations:
        airtime = one.get("airtime") or {}
        why = airtime.get("words") or (one["waiting"] and one.get("waits_for"))
        if why:
            say(f"{one['destination']}: {shown(why, most=500)}")


def _with_conversations(found: Row) -> Iterator[Row]:
    for destination in found["destinations"]:
        yield destination
        yield from (one for one in found["conversations"] if one["destination"] == destination["destination"])


def _columns(by: By) -> Columns:
    def age(name: str) -> Any:
        return lambda row: row["ages"][name] or ""

    of_conversations = {"conversation": lambda row: row["conversation"] or ""} if by is By.CONVERSATION else {}
    return {
        "destination": lambda row: row["destination"] or "TOTAL",
        **of_conversations,
        "T": lambda row: row["waiting"],
        **{name: age(name) for name in AGE_NAMES},
        "oldest": _oldest,
        "dead": lambda row: row["dead"] or "",
    }


def _oldest(row: Row) -> str:
    return "" if row["oldest_age_s"] is None else in_words(row["oldest_age_s"])


def list_waiting(
    ctx: typer.Context,
    destination: Annotated[str | None, typer.Argument(help="A bridge's name; else all.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of each destination.")] = 1000,
    output: Output = Form.TABLE,
) -> None:
    """List what waits, oldest first."""
    control = context.of(ctx).control()
    names = [destination] if destination else [one["name"] for one in control.get("/bridges")]
    rows: list[Row] = []
    for name in names:
        waiting = control.pages("/queue/deliveries", "deliveries", destination=name)
        rows += islice(waiting, limit)
        if output is Form.TABLE and next(waiting, None) is not None:
            say(f"{name}: more than these {limit} wait; --limit shows more")
    columns = {
        "id": lambda row: row["id"],
        "to": lambda row: row["to"],
        "state": lambda row: row["state"],
        "lane": lambda row: row["lane"],
        "received": lambda row: when(row["received_ms"]),
        "expires": lambda row: when(row["expires_ms"]),
        "sender": lambda row: row["sender"],
        "text": lambda row: shown(row["text"]),
        "waits for": lambda row: row.get("waits_for", ""),
    }
    show(rows, columns, output, empty="nothing waits")


def retry(
    ctx: typer.Context,
    destination: Annotated[str | None, typer.Argument(help="A bridge's name; else all.")] = None,
    id: Annotated[list[str] | None, typer.Option(help="Only this delivery; may be repeated.")] = None,
) -> None:
    """Try now what was to be tried later."""
    asked = {"destination": destination, "ids": id or []}
    done = context.of(ctx).control().post("/queue/retry", asked)["destinations"]
    say(f"trying again: {', '.join(done) or 'nothing'}")


def cancel(ctx: typer.Context, ids: Ids) -> None:
    """Take deliveries that wait off the queue, for good."""
    control = context.of(ctx).control()
    each(ids, lambda one: control.post(f"/deliveries/{segment(one)}/cancel"), "cancelled")


def each(ids: list[str], do: Any, done: str) -> None:
    """Do something to each; say which failed, write the others, and exit with 1 if any failed."""
    failed = False
    for one in ids:
        try:
            do(one)
        except Refused as error:
            say(str(error))
            failed = True
        else:
            typer.echo(one)
            say(done)
    if failed:
        raise typer.Exit(1)
