# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.lateness import LATE_MS, late_by, said_at
from gateway.model import MOST_LATE_MS

NOW = 1_795_701_720_000
"""2026-11-26 14:02 UTC."""
MINUTE = 60_000
DAY = 24 * 60 * MINUTE


@pytest.mark.parametrize(
    ("age_ms", "shown"),
    [
        (0, ""),
        (LATE_MS - 1, ""),
        (LATE_MS, "14:00"),
        (14 * 60 * MINUTE, "00:02"),
        (14 * 60 * MINUTE + 3 * MINUTE, "2026-11-25 23:59"),
        (3 * DAY, "2026-11-23 14:02"),
        (-5 * MINUTE, ""),
        (NOW, ""),
    ],
)
def test_what_comes_late_says_when_with_the_date_if_it_isnt_todays(age_ms: int, shown: str) -> None:
    assert said_at(NOW - age_ms, NOW, UTC) == shown


def test_the_time_and_what_is_today_are_the_zones() -> None:
    assert said_at(NOW - 3 * 60 * MINUTE, NOW, timezone(timedelta(hours=10))) == "2026-11-26 21:02"
    assert said_at(NOW - 2 * MINUTE, NOW, timezone(timedelta(hours=10))) == "00:00"


@given(st.integers(0, 4 * 10**12), st.integers(0, 4 * 10**12))
def test_no_time_is_shown_that_no_clock_could_have_told(received_ms: int, now_ms: int) -> None:
    shown = said_at(received_ms, now_ms, UTC)
    assert bool(shown) == (received_ms >= 1_577_836_800_000 and now_ms - received_ms >= LATE_MS)


def event(sent_ms: Any, age: Any = None) -> dict[str, Any]:
    return {"origin_server_ts": sent_ms, "unsigned": {} if age is None else {"age": age}}


@pytest.mark.parametrize(
    ("sent_ms", "age", "late_ms"),
    [
        (NOW - DAY, DAY - 100, DAY),
        (NOW - 18_000, 40, 18_000),  # its answer hung in a line that was cut
        (NOW - 60_041, 40, 0),  # longer than it can: another clock
        (NOW - DAY, None, DAY),
        (None, DAY, DAY),
        (NOW - 18_000, 18_050, 18_050),
        (NOW - 17_000, 18_000, 18_000),
        (NOW - 300, 250, 0),  # a homeserver takes its time
        (NOW + 40, 18_000, 18_000),  # clocks differ
        (NOW + 5, None, 0),
    ],
)
def test_what_a_homeserver_kept_while_it_could_not_be_reached_is_late_by_that(
    sent_ms: Any, age: Any, late_ms: int
) -> None:
    assert late_by(event(sent_ms, age), NOW) == late_ms


@pytest.mark.parametrize("off_ms", [-30 * 365 * DAY, -40 * DAY, -3 * 60 * MINUTE, 3 * 60 * MINUTE, 40 * DAY])
def test_a_homeservers_clock_that_is_wrong_makes_nothing_more_or_less_late(off_ms: int) -> None:
    assert late_by(event(NOW + off_ms, 120), NOW) == 0
    assert late_by(event(NOW + off_ms - DAY, DAY), NOW) == DAY


def test_an_age_that_cannot_be_leaves_the_time_to_be_believed() -> None:
    assert late_by(event(NOW - DAY, MOST_LATE_MS + 1), NOW) == DAY
    assert late_by(event(NOW - DAY, -3), NOW) == DAY


def test_a_box_that_was_in_1970_believes_the_age_alone() -> None:
    assert late_by(event(NOW - DAY, DAY), 60_000) == DAY
    assert late_by(event(NOW - DAY), 60_000) == 0


@pytest.mark.parametrize(
    ("sent_ms", "age"),
    [
        (NOW - MOST_LATE_MS - 1, None),
        (0, 2**53),
        (True, True),
        ("now", "5"),
        (None, None),
        (-(10**400), 10**400),
        (1e300, -1.5),
        ([], {}),
    ],
)
def test_what_no_clock_can_have_told_makes_nothing_late(sent_ms: Any, age: Any) -> None:
    assert late_by(event(sent_ms, age), NOW) == 0
    assert late_by({"origin_server_ts": sent_ms, "unsigned": age}, NOW) == 0
