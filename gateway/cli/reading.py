# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that only ask: status, routes, messages."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import typer

from gateway.ages import in_words
from gateway.cli import context
from gateway.cli.output import Form, Output, Row, age_s, histories, say, show, show_one, when
from gateway.control import Control, Refused, segment
from gateway.model import State, Topic
from gateway.wording import gateway_line, rulings_line, shown, store_line


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("status")(status)
    routes_app = typer.Typer(help="What shares its messages with what.", invoke_without_command=True)
    routes_app.callback()(routes)
    routes_app.command("test")(try_route)
    app.add_typer(routes_app, name="routes")
    app.add_typer(routes_app, name="route", hidden=True)
    messages_app = typer.Typer(help="What was said, and what became of it.", invoke_without_command=True)
    messages_app.callback()(messages)
    messages_app.command("show")(show_message)
    app.add_typer(messages_app, name="messages")


def status(ctx: typer.Context, output: Output = Form.TABLE) -> None:
    """Say how the gateway is: what is up, what isn't and why, how much waits."""
    show_one(context.of(ctx).control().get("/status"), output, _tell_status)


def _tell_status(found: Row) -> None:
    running_s = (found["now_ms"] - found["started_ms"]) / 1000
    typer.echo(gateway_line(found["name"], found["version"], running_s=running_s))
    for name in ("journal", "queue"):
        typer.echo(store_line(name, **found[name]))
    for line in rulings_line(found["chat_permissions"], found["muted"]):
        typer.echo(line)
    rows = [one | {"waiting": _waiting(found, one["name"])} for one in found["bridges"]]
    now_ms = found["now_ms"]
    columns = {
        "bridge": lambda row: row["name"],
        "kind": lambda row: row["kind"],
        "state": lambda row: row["state"],
        "for": lambda row: in_words((now_ms - row["since_ms"]) / 1000),
        "waiting": lambda row: row["waiting"],
        "details": lambda row: (
            row["reason"] or _held_back(row) or tuple(f"{key} {value}" for key, value in row["describe"].items())
        ),
    }
    show(rows, columns, Form.TABLE, empty="no bridge is configured")
    for one in found["bridges"]:
        if one.get("airtime"):
            typer.echo(f"{one['name']}: {shown(one['airtime']['words'], most=500)}")


def _held_back(bridge: Row) -> str:
    return str((bridge.get("sending") or {}).get("words", ""))


def _waiting(found: Row, bridge: str) -> int:
    counts = found["deliveries"].get(bridge, {})
    return sum(counts.get(state, 0) for state in ("waiting", "queued", "sending"))


def routes(ctx: typer.Context, output: Output = Form.TABLE) -> None:
    """List the routes, or test one."""
    if ctx.invoked_subcommand is not None:
        return
    columns = {
        "route": lambda row: row["name"],
        "from": lambda row: ", ".join(row["sources"]),
        "to": _both_ways,
        "expires": lambda row: _limits(row["expires_s"]),
        "digest": lambda row: _limits(row["digest_after_s"]),
        "also": lambda row: ", ".join(row["also"]),
        "made by": lambda row: row["by"] or "the file",
        "made": lambda row: "" if row["at_ms"] is None else when(row["at_ms"]),
    }
    show(context.of(ctx).control().get("/routes"), columns, output, empty="there is no route")


def _both_ways(route: Row) -> str:
    if route["sources"] == route["targets"]:
        if len(route["sources"]) == 1:
            return "other boxes"
        return "both ways, in private" if route["direct"] else "both ways"
    return ", ".join(route["targets"])


def try_route(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The route's name.")],
    text: Annotated[str, typer.Argument(help="What to try it with.")] = "This is a test.",
    topic: Annotated[Topic, typer.Option(help="Try it as what radios say besides texts.")] = Topic.TALK,
    output: Output = Form.TABLE,
) -> None:
    """Show what each address of a route would be sent, and send nothing."""
    columns = {
        "to": lambda row: row["to"],
        "part": lambda row: f"{row['part']}/{row['parts']}",
        "bytes": lambda row: row["size_bytes"],
        "says": lambda row: row["body"],
        "note": lambda row: row["note"],
    }
    found = context.of(ctx).control().post(f"/routes/{segment(name)}/test", {"text": text, "topic": topic})
    show(found, columns, output, empty="it would go nowhere")


def messages(
    ctx: typer.Context,
    *,
    address: Annotated[str | None, typer.Option(help="Only those of this conversation.")] = None,
    state: Annotated[State | None, typer.Option(help="Only those with a delivery in this state.")] = None,
    older_than: Annotated[str | None, typer.Option(help="Only those received before: 10m, 6h, 2d ago.")] = None,
    newer_than: Annotated[str | None, typer.Option(help="Only those received since: 10m, 6h, 2d ago.")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Only those of before this number: older ones.")] = None,
    after: Annotated[int | None, typer.Option(min=0, help="Only those of after this number, the oldest first.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many; without --after, of the newest.")] = 50,
    output: Output = Form.TABLE,
) -> None:
    """List the newest messages and what became of them, or show one."""
    if ctx.invoked_subcommand is not None:
        return
    columns = {
        "no": lambda row: row["seq"],
        "id": lambda row: row["id"],
        "received": lambda row: when(row["received_ms"]),
        "from": lambda row: row["origin"],
        "sender": lambda row: row["sender"],
        "lane": lambda row: "" if row["lane"] == "normal" else row["lane"],
        "text": lambda row: shown(row["text"]),
        "became": lambda row: ", ".join(f"{one['to']} {one['state']}" for one in row["deliveries"]),
    }
    ages = {"older_than_s": age_s(older_than), "newer_than_s": age_s(newer_than)}
    query = {"address": address, "state": state and state.value, "before": before, "after": after, "limit": limit}
    found = context.of(ctx).control().get("/messages", **query, **ages)
    show(found["messages"], columns, output, empty="there are no such messages")
    if output is Form.TABLE and found["next_before"]:
        say(f"there are older ones: --before {found['next_before']}")


def show_message(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(help="The message's id, or a delivery's.")],
    output: Output = Form.TABLE,
) -> None:
    """Show one message, or one delivery: every state it was in, when, for how long, and why."""
    control = context.of(ctx).control()
    try:
        found = control.get(f"/messages/{segment(id)}")
    except Refused as missing:
        if missing.status != HTTPStatus.NOT_FOUND:
            raise
        found = _delivery(control, id, missing)
    now_ms = control.get("/status")["now_ms"] if output is Form.TABLE else None
    show_one(found, output, lambda row: _tell_message(row, now_ms))


def _delivery(control: Control, id: str, missing: Refused) -> Row:
    try:
        found: Row = control.get(f"/deliveries/{segment(id)}")
    except Refused as neither:
        raise missing from neither
    return found


def _tell_message(found: Row, now_ms: int | None) -> None:
    sender = f"{shown(found['sender'])} ({shown(found['sender_id'])})"
    typer.echo(f"{found['id']} from {sender} in {shown(found['origin'], most=500)}")
    lane = "" if found["lane"] == "normal" else f", in the {found['lane']} lane"
    topic = "" if found["topic"] == "talk" else f", of {found['topic']}"
    said = f"said {when(found['said_ms'])}, " if found["said_ms"] < found["received_ms"] else ""
    typer.echo(f"{said}received {when(found['received_ms'])}{lane}{topic}")
    typer.echo(shown(found["text"], most=10_000))
    histories(found["deliveries"], now_ms)
    for one in found["deliveries"]:
        if one.get("waits_for"):
            typer.echo(f"{one['id']} waits: {shown(one['waits_for'], most=500)}")


def _limits(limits: dict[str, int]) -> str:
    return ", ".join(f"{bridge} after {in_words(seconds)}" for bridge, seconds in limits.items())
