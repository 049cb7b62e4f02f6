# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line's tables hold."""

from __future__ import annotations

import pytest

from gateway.cli.output import cell
from gateway.cli.reading import _tell_status


def test_one_thing_is_one_line_that_ends_somewhere() -> None:
    assert cell("up\nand running") == "up and running"
    assert cell("x" * 600) == "x" * 499 + "…"


def test_of_many_facts_none_is_cut_off() -> None:
    facts = tuple(f"fact {number} {'x' * 100}" for number in range(10))
    assert cell(facts) == ", ".join(facts)


def test_status_says_what_stands_last_of_a_bridge_that_has_much_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    rooms = {f"!{'r' * 43}{number}": "no longer bridged: we were put out of the room" for number in range(9)}
    bridge = {
        "name": "home",
        "kind": "matrix",
        "state": "up",
        "reason": "",
        "since_ms": 0,
        "describe": {**rooms, "ghosts_stay_out": "!last: the room is encrypted"},
    }
    well = {"state": "up", "reason": "", "engine": ""}
    _tell_status(
        {
            "name": "hilltop",
            "version": "1",
            "now_ms": 1,
            "started_ms": 0,
            "journal": well,
            "queue": well,
            "chat_permissions": 0,
            "muted": 0,
            "deliveries": {},
            "bridges": [bridge],
        }
    )
    assert "ghosts_stay_out !last: the room is encrypted" in " ".join(capsys.readouterr().out.split())
