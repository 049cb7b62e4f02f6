# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.ages: ages in columns and in words."""

from __future__ import annotations

import itertools

import pytest

from gateway.ages import AGE_LIMITS_S, AGE_NAMES, in_words, limits_ms


def test_each_column_but_the_last_has_a_limit_and_most_are_twice_as_long_as_the_one_before() -> None:
    minutes = [limit // 60 for limit in AGE_LIMITS_S]

    assert (*(f"<{limit}m" for limit in minutes[:-1]), "<1d", ">1d") == AGE_NAMES
    assert all(longer == 2 * shorter for shorter, longer in itertools.pairwise(minutes[1:-1]))


def test_what_is_as_old_as_a_limit_was_received_at_its_time() -> None:
    assert limits_ms(10**12)[:2] == (10**12 - 60_000, 10**12 - 300_000)


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
