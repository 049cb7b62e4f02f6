# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.ages: ages in columns and in words."""

from __future__ import annotations

import pytest

from gateway.ages import AGE_NAMES, by_age, in_words


def test_ages_are_counted_into_columns_and_a_limit_belongs_to_the_older_one() -> None:
    now_ms = 10**12
    seconds = [0, 59, 60, 599, 600, 3600, 6 * 3600, 86399, 86400, 10**7]

    assert dict(zip(AGE_NAMES, by_age((now_ms - s * 1000 for s in seconds), now_ms), strict=True)) == {
        "<1m": 2,
        "<10m": 2,
        "<1h": 1,
        "<6h": 1,
        "<1d": 2,
        "older": 2,
    }


def test_what_comes_from_the_future_is_new() -> None:
    assert by_age([2000], 1000) == (1, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (11100, "3 h 5 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_ages_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
