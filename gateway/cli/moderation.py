# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband mute``, ``ban``, ``slow``, ``silence``, ``approve``, ``audit``: moderation, in the words of chats."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.ages import in_words
from gateway.cli import context
from gateway.cli.output import Form, Output, Row, say, show, when
from gateway.wording import brief

Words = Annotated[list[str] | None, typer.Argument(help="As in a chat; `because WORDS` at the end tells why.")]
_ORDERS = {
    "mute": "Carry nothing of somebody's: mute WHO, or mute WHO for 1h because they shout.",
    "unmute": "Carry it again: unmute WHO.",
    "ban": "Carry nothing of somebody's until it is taken back: ban WHO, or ban WHO because they lie.",
    "unban": "Take a ban back: unban WHO.",
    "silence": "Put nothing on radio but emergencies: silence, or silence for 1h.",
    "unsilence": "End radio silence.",
    "approve": "Let somebody who asked be heard on radio: approve WHO.",
    "refuse": "Turn somebody down who asked: refuse WHO.",
    "allow": "Let somebody do so much: allow WHO none|read|transmit|commands|admin.",
    "forget": "Take back an allow: forget WHO.",
}
_WITHOUT_WORDS = frozenset({"silence", "unsilence"})


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for name, about in _ORDERS.items():
        app.command(name, help=about)(order)
    app.command("slow")(slow)
    app.command("approvals")(approvals)
    app.command("audit")(audit)


def order(ctx: typer.Context, words: Words = None) -> None:
    """Have it done, and say what came of it."""
    if not words and ctx.info_name not in _WITHOUT_WORDS:
        say(f"say who: crossband {_ORDERS[str(ctx.info_name)].rpartition(': ')[2]}")
        raise typer.Exit(2)
    said = " ".join([str(ctx.info_name), *(words or [])])
    typer.echo(context.of(ctx).control().post("/commands", {"command": said})["answer"])


def slow(ctx: typer.Context, words: Words = None, output: Output = Form.TABLE) -> None:
    """Slow a room at the page: slow ROOM 30s, or off, or usual (as the file has it). Alone: list what was decided."""
    if words:
        order(ctx, words)
        return
    columns = {
        "room": lambda row: row["room"],
        "one line in": lambda row: in_words(row["every_s"]) if row["every_s"] else "as they like",
        "by": _by,
        "at": lambda row: when(row["at_ms"]),
    }
    show(context.of(ctx).control().get("/slow"), columns, output, empty="nothing was decided of any room's pace")


def approvals(ctx: typer.Context, output: Output = Form.TABLE) -> None:
    """List who asks to be heard on radio, and since when; `approve WHO` or `refuse WHO` answers."""
    columns = {"who": lambda row: row["sender"], "since": lambda row: when(row["since_ms"])}
    show(context.of(ctx).control().get("/approvals"), columns, output, empty="nobody asks to be heard on radio")


def audit(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=5000, help="How many, the latest first.")] = 100,
    output: Output = Form.TABLE,
) -> None:
    """List who decided what of people, rooms and the radio: when, where and why. The latest 5,000 are kept."""
    control = context.of(ctx).control()
    found: list[Row] = []
    for one in control.pages("/audit", "audit"):
        found.append(one)
        if len(found) == limit:
            break
    columns = {
        "at": lambda row: when(row["at_ms"]),
        "by": lambda row: row["by"],
        "what": lambda row: row["what"],
        "about": lambda row: brief(row["about"]),
        "how": lambda row: row["detail"],
        "where": lambda row: row["where"],
        "why": lambda row: row["why"],
    }
    show(found, columns, output, empty="nothing was decided yet")
    if output is Form.TABLE and len(found) == limit:
        say(f"these are the latest {limit}; --limit shows more")


def _by(row: Row) -> str:
    return f"{row['by']} at box {row['box']}" if row["box"] else str(row["by"])
