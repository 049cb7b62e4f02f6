# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from bridges.lan.hall import Line
from bridges.lan.page.placing import HUES, TOGETHER_MS, at_box, by, clock, day, hue, places, toward
from gateway.model import NativeId, SenderId

NOON_MS = 1_790_000_000_000
FIRST = Line(
    id=NativeId("web:a:1"),
    arrival=1,
    room="town",
    sender=SenderId("~ali@hilltop"),
    name="ali",
    network="page",
    verified=False,
    text="hi",
    said_ms=NOON_MS,
)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({}, " same"),
        ({"said_ms": NOON_MS + TOGETHER_MS}, ""),
        ({"said_ms": NOON_MS - 1}, ""),
        ({"sender": SenderId("~bea@hilltop")}, ""),
        ({"name": "Ali"}, ""),
        ({"late": True}, ""),
        ({"said_ms": NOON_MS + 86_400_000}, " newday"),
        ({"said_ms": NOON_MS - 86_400_000, "late": True}, ""),
    ],
)
def test_a_line_goes_under_the_name_before_it_where_that_is_true_of_it(change, place):
    assert places([FIRST, replace(FIRST, arrival=2, **change)], "") == [" newday", place]


def test_what_comes_late_begins_no_day_and_the_day_goes_on_after_it():
    late = replace(FIRST, said_ms=NOON_MS - 86_400_000, late=True)
    assert places([FIRST, late, FIRST], "") == [" newday", "", ""]
    assert places([late, FIRST], "") == ["", " newday"]


def test_ones_own_lines_are_marked():
    assert places([FIRST, FIRST], FIRST.sender) == [" mine newday", " mine same"]


def test_what_stands_for_a_sender_does_not_tell_the_id_and_has_a_colour():
    assert by(FIRST.sender) == by(SenderId("~ali@hilltop")) != by(SenderId("~bea@hilltop"))
    assert "ali" not in by(FIRST.sender)
    assert {hue(SenderId(str(n))) for n in range(100)} == set(range(HUES))


def test_a_line_of_a_page_says_at_which_box_it_was_said():
    assert (at_box(FIRST.sender), at_box(SenderId("~bo@valley"))) == ("@hilltop", "@valley")


def test_a_time_that_no_calendar_has_is_shown_as_the_beginning():
    assert (day(10**18), clock(10**18)) == ("1970-01-01", "00:00")


@pytest.mark.parametrize(
    ("room", "sender", "whom"),
    [
        ("town", "~ali@hilltop", ""),
        ("~bea@hilltop", "~ali@hilltop", "bea"),
        ("~ali@hilltop/!a1b2c301", "~ali@hilltop", "!a1b2c301"),
        ("~ali@hilltop/!a1b2c301", "!a1b2c301", "ali"),
    ],
)
def test_a_line_to_one_person_says_to_whom(room, sender, whom):
    assert toward(replace(FIRST, room=room, sender=SenderId(sender))) == whom
