# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband demo``. Standard output has the table; all talk goes to standard error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from bridges.sim.demo import DemoFailed, Options, play, show
from bridges.sim.ledger import Row
from bridges.sim.stage import Stage, as_json, as_table


def commands() -> typer.Typer:
    """Build the Typer app that the command line mounts as ``demo``."""
    app = typer.Typer(add_completion=False)
    app.command()(_demo)
    return app


def _demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Play a scripted conversation through three outages, count, and end.")
    ] = False,
    output: Annotated[
        Literal["table", "json"], typer.Option("-o", "--output", help="How --once shows its count.")
    ] = "table",
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Keep everything in this new directory.", metavar="DIR")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the temporary directory in place.")] = False,
    port: Annotated[
        int | None, typer.Option("--port", help="Of the console; else any free one.", min=1, max=65535)
    ] = None,
) -> None:
    """Try it: a homeserver, radios and a gateway on this machine, with nothing to set up.

    Without --once it runs until Ctrl-C, and leaves nothing behind.
    """
    stage = Stage(Console(stderr=True, highlight=False))
    options = Options(folder=folder, keep=keep, listen_port=port)
    try:
        if once:
            raise typer.Exit(_count(stage, play(stage, options), output))
        show(stage, options)
    except DemoFailed as error:
        stage.say(f"demo: {error}", "red")
        raise typer.Exit(1) from error


def _count(stage: Stage, rows: tuple[Row, ...], output: str) -> int:
    """Show the table; return the exit code."""
    if output == "json":
        typer.echo(as_json(rows))
    else:
        Console(highlight=False).print(as_table(rows))
    clean = all(row.is_clean for row in rows)
    words = (
        "Nothing lost, doubled or reordered; every reply kept its target."
        if clean
        else "Not everything arrived as said."
    )
    stage.say(words, "bold green" if clean else "bold red")
    return 0 if clean else 1
