# SPDX-License-Identifier: GPL-3.0-or-later
"""What people see of the demo."""

from __future__ import annotations

import io

from rich.console import Console

from bridges.sim.stage import Stage


def test_what_people_say_is_one_line_and_cannot_steer_the_terminal() -> None:
    written = io.StringIO()

    Stage(Console(file=written)).tell("room", "Eve: a\x1b[2J\x9b2J\u202e\n   0.0 s  crossed [red]b[/red]")

    assert written.getvalue().endswith("Eve: a [2J 2J     0.0 s  crossed [red]b[/red]\n")
    assert written.getvalue().count("\n") == 1
