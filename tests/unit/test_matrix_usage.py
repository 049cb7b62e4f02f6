# SPDX-License-Identifier: GPL-3.0-or-later
"""What help tells of the commands that the Matrix bridge knows itself."""

from __future__ import annotations

import pytest

from bridges.matrix.management.command import Help, Other, wish_of
from bridges.matrix.management.usage import USAGES, help_for, own_commands


@pytest.mark.parametrize("verb", ["bridge", "unbridge", "dm", "nick", "space", "confirm"])
def test_help_knows_each_command_of_ours(verb: str) -> None:
    assert not isinstance(wish_of(verb), Other | Help)
    assert help_for(verb).startswith(f"!mesh {verb}")
    assert f"!mesh {verb}" in own_commands()


def test_help_of_others_is_the_desks() -> None:
    assert (help_for("status"), help_for("")) == ("", "")


def test_who_has_to_have_the_say_stands_before_the_rest() -> None:
    lines = own_commands().splitlines()
    assert lines[0] == "In a room, by those with the power to change its settings:"
    assert lines.index("Anywhere:") == 3
    assert len(lines) == len(USAGES) + 2
