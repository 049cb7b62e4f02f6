# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband send``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gateway.cli import context
from gateway.cli.output import Form, Output, Row, say, show_one


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("send")(send)


def send(
    ctx: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="[ADDRESS] TEXT", help="- reads the text from standard input.")],
    *,
    route: Annotated[str | None, typer.Option(help="Send to all of this route instead of one address.")] = None,
    name: Annotated[str | None, typer.Option(help="Who says it; else the gateway's name.")] = None,
    reply_to: Annotated[str | None, typer.Option(help="The id of the message it answers.")] = None,
    key: Annotated[str | None, typer.Option(help="Sending again with the same key sends nothing again.")] = None,
    output: Output = Form.TABLE,
) -> None:
    """Send a text to one address (bridge/conversation), or along a route with --route."""
    expected = 1 if route is not None else 2
    if len(words) != expected:
        say("write: crossband send ADDRESS TEXT, or crossband send --route NAME TEXT (quote the text)")
        raise typer.Exit(2)
    text = sys.stdin.read().rstrip("\n") if words[-1] == "-" else words[-1]
    posted = {"text": text, "to": None if route is not None else words[0], "route": route}
    posted |= {"name": name, "reply_to": reply_to}
    headers = {} if key is None else {"Idempotency_Key": key}
    show_one(context.of(ctx).control().post("/messages", posted, **headers), output, _tell)


def _tell(found: Row) -> None:
    typer.echo(found["id"])
    known = "was sent before under this key" if found["seen"] else f"accepted, {len(found['deliveries'])} deliveries"
    say(f"{known}; crossband messages show {found['id']}")
