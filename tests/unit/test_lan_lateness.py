# SPDX-License-Identifier: GPL-3.0-or-later
"""When something counts as said, by clocks that may be wrong."""

from __future__ import annotations

import pytest

from bridges.lan.lateness import said_at

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("said_ms", "now_ms", "counts_as_ms"),
    [
        (NOW_MS - 3_600_000, NOW_MS, NOW_MS - 3_600_000),
        (NOW_MS + 90_000, NOW_MS, NOW_MS),
        (86_400_000, NOW_MS, NOW_MS),
        (NOW_MS, 86_400_000, 86_400_000),
    ],
    ids=["late", "from the future", "said by a box without a clock", "heard by a box without a clock"],
)
def test_it_counts_as_said_when_it_was_as_far_as_that_makes_sense(said_ms: int, now_ms: int, counts_as_ms: int):
    assert said_at(said_ms, now_ms) == counts_as_ms
