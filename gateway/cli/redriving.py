# SPDX-License-Identifier: GPL-3.0-or-later
"""What `crossband dead-letters redrive` says: the price before, the progress meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import typer

from gateway.ages import in_words
from gateway.cli.output import say
from gateway.control import Control
from gateway.wording import cost_line

LOOK_EVERY_S = 0.5


def someone_is_there() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty()


def say_price(control: Control, asked: Mapping[str, Any], pace: int) -> None:
    """Say what it would cost to send these again."""
    found = control.post("/dead-letters/price", asked)
    at_least = "" if found["complete"] else "at least "
    for one in found["destinations"]:
        say(cost_line(**one, complete=found["complete"]))
    say(
        f"in all {at_least}{found['total']}; at {pace} a minute that takes {in_words(60 * found['total'] / pace)}"
        " or longer"
    )


def redrive(control: Control, asked: Mapping[str, Any], pace: int, *, wait: bool) -> None:
    """Begin it, and (`wait`) follow it to its end; exit with 1 if some could not be sent again."""
    control.post("/dead-letters/redrive", {**asked, "per_minute": pace})
    if not wait:
        say("begun; crossband dead-letters redrive --progress shows how far it is, --stop stops it")
        return
    try:
        while (found := control.get("/dead-letters/redrive"))["running"]:
            _say_progress(found)
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        say("\nthe gateway goes on with it; crossband dead-letters redrive --stop stops it")
        raise
    _clear()
    tell(control)
    if found["sent"] < found["total"]:
        raise typer.Exit(1)


def tell(control: Control) -> None:
    """Say how far it is, or how the last one ended."""
    found = control.get("/dead-letters/redrive")
    if found is None:
        say("no dead letters were sent again yet")
        return
    state = "going on" if found["running"] else "ended"
    typer.echo(f"{_words(found)}: {state}{': ' + found['held'] if found['held'] else ''}")


def _words(found: Mapping[str, Any]) -> str:
    left = f", {found['left']} could not be" if found["left"] else ""
    return f"{found['sent']} of {found['total']} sent again{left}"


def _say_progress(found: Mapping[str, Any]) -> None:
    if sys.stderr.isatty():
        held = f" (held: {found['held']})" if found["held"] else ""
        typer.echo(f"\r\x1b[K{_words(found)}{held}", err=True, nl=False)


def _clear() -> None:
    if sys.stderr.isatty():
        typer.echo("\r\x1b[K", err=True, nl=False)
