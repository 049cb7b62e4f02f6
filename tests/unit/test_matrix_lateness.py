# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.lateness import LATE_MS, said_at

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
