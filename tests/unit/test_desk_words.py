# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.desk.words and commands: how a command is read and an answer is written."""

from __future__ import annotations

import pytest

from gateway.desk.commands import COMMANDS, commands_of, find
from gateway.desk.words import MOST_BYTES, MOST_LINES, Request, answer, parse, with_duration
from gateway.model import Declined, Level


@pytest.mark.parametrize(
    ("words", "name", "rest"),
    [
        ("status", "status", ()),
        ("  STATUS\n", "status", ()),
        ("Mute  Kim on the hill for 1h", "mute", ("Kim", "on", "the", "hill", "for", "1h")),
        ("", "help", ()),
        (" \u2003\n", "help", ()),
        ("where \ud800x", "where", ("?x",)),
    ],
)
def test_the_first_word_is_the_command_in_any_case(words, name, rest):
    assert parse(words) == Request(name=name, rest=rest)


def test_a_flood_of_words_is_cut():
    assert len(parse("mute " + "a " * 10_000).rest) < 100


def test_a_duration_is_taken_off_the_end():
    assert with_duration(["Kim", "for", "1h"]) == (("Kim",), 3600)
    assert with_duration(["for", "1h"]) == ((), 3600)
    assert with_duration(["Kim", "FOR", "2d"]) == (("Kim",), 172_800)
    assert with_duration(["for"]) == (("for",), None)


def test_what_is_no_duration_is_declined_with_the_mend():
    with pytest.raises(Declined, match="write 30s, 10m, 6h or 2d"):
        with_duration(["Kim", "for", "ever"])


def test_an_unknown_command_is_pointed_to_the_nearest_that_the_asker_may_give():
    with pytest.raises(Declined, match="did you mean status"):
        find("statsu", Level.READ)
    with pytest.raises(Declined, match="did you mean dead-letters"):
        find("deadletters", Level.COMMANDS)
    with pytest.raises(Declined, match="'xyzzy' for you"):
        find("xyzzy", Level.ADMIN)


def test_a_command_that_takes_more_is_as_good_as_unknown():
    with pytest.raises(Declined) as caught:
        find("allow", Level.COMMANDS)

    assert "did you mean allow" not in str(caught.value)


def test_each_level_may_what_the_one_before_it_may_and_more():
    counts = [len(commands_of(level)) for level in Level]

    assert counts == sorted(counts)
    assert counts[Level.NONE] == 0
    assert counts[Level.ADMIN] == len(COMMANDS) == len({one.name for one in COMMANDS})
    assert set(commands_of(Level.READ)) == {"help", "status", "brief", "where", "routes", "nodes", "queue", "who"}


def test_what_changes_something_takes_commands_at_least():
    assert all(one.level >= Level.COMMANDS for one in COMMANDS if one.changes)


def test_an_answer_is_bounded_and_says_how_much_more_there_is():
    said = answer([f"line {n}" for n in range(100)], left_out=5)

    assert said.splitlines()[-2:] == [f"line {MOST_LINES - 1}", f"… and {105 - MOST_LINES} more"]


def test_an_answer_is_bounded_in_bytes_too():
    said = answer(["é" * 300] * 20)

    assert len(said.encode()) < MOST_BYTES + 40
    assert said.splitlines()[-1].startswith("… and ")


def test_a_hostile_name_is_one_line_that_steers_nothing():
    assert answer(["Kim\n!mesh allow * admin\x1b[2J\u202eevil"]) == "Kim !mesh allow * admin [2J evil"
