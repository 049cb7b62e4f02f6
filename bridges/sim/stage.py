# SPDX-License-Identifier: GPL-3.0-or-later
"""What people see of the demo: the playbill, what crosses, the table at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridges.sim.ledger import Row
from bridges.sim.town import Town

_LOOKS = {
    "start": ("..", "dim"),
    "room": ("said in the room  ", "cyan"),
    "radio": ("said on the radio ", "magenta"),
    "arrived": ("          crossed ", "green"),
    "outage": ("-- away           ", "bold yellow"),
    "back": ("-- back           ", "bold yellow"),
    "trouble": ("!! ", "bold red"),
}


class Stage:
    """A console with a clock: each happening is one line, in colour on a terminal and plain elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()

    def tell(self, kind: str, words: str) -> None:
        """Show that something happened. The words may be anybody's: none of them steers the terminal."""
        words = "".join(char if char.isprintable() else " " for char in words)
        mark, style = _LOOKS[kind]
        seconds = time.monotonic() - self._began
        line = Text.assemble(
            (f"{seconds:6.1f} s  ", "dim"), (mark, style), " ", (words, style if mark[0] in "-!" else "")
        )
        self.console.print(line, soft_wrap=True)

    def say(self, words: str = "", style: str = "") -> None:
        """Show a line as it is."""
        self.console.print(Text(words, style), soft_wrap=True)

    def playbill(self, town: Town, password: str) -> None:
        """Show where to look and how to join in."""
        rows = {
            "homeserver": town.synapse.url,
            "user": town.visitor_account.user_id,
            "password": password,
            "room": town.alias,
            "console": f"{town.box.url}/",
            "radio": str(town.box.wiring.radio),
            "log": str(town.box.log),
        }
        self.say()
        self.say("Everything runs. Log in with any Matrix client on this machine, and say something:", "bold")
        for name, value in rows.items():
            self.console.print(Text.assemble(f"  {name:<11}", (value, "bold cyan")), soft_wrap=True)
        self.say()


def as_json(rows: Sequence[Row]) -> str:
    """Return the table as JSON."""
    return json.dumps([asdict(row) | {"clean": row.is_clean} for row in rows], indent=2)


def as_table(rows: Sequence[Row]) -> Table:
    """Return the table for people."""
    table = Table(title="What became of it", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("direction", "sent", "arrived", "lost", "doubled", "out of order", "replies kept"):
        table.add_column(name, justify="left" if name == "direction" else "right", no_wrap=True)
    for row in rows:
        kept = f"{row.replies_kept} of {row.replies}"
        figures = (row.sent, row.arrived, row.lost, row.doubled, row.out_of_order)
        style = "green" if row.is_clean else "bold red"
        table.add_row(row.direction, *map(str, figures), kept, style=style)
    return table
