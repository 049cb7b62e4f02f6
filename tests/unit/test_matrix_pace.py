# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.pace import MAX_ROOMS, Pace, Rate

FEW = Rate(burst=3, every_s=10.0)
MANY = Rate(burst=5, every_s=1.0)


def test_a_few_at_once_then_one_at_a_time() -> None:
    pace = Pace(FEW, MANY)
    assert [pace.take("!a", 1, 100.0) for _ in range(4)] == [0, 0, 0, 10]
    assert pace.take("!a", 1, 109.0) == 1
    assert pace.take("!a", 1, 110.0) == 0
    assert pace.take("!a", 2, 110.0) == 20


def test_rooms_do_not_share_but_the_account_has_an_end_too() -> None:
    pace = Pace(FEW, MANY)
    assert [pace.take(f"!{room}", 2, 0.0) for room in range(3)] == [0, 0, 1]


def test_what_is_not_taken_is_not_spent() -> None:
    pace = Pace(FEW, MANY)
    assert pace.take("!a", 3, 0.0) == 0
    for _ in range(100):
        assert pace.take("!a", 2, 0.0) == 20
    assert pace.take("!a", 2, 20.0) == 0


def test_rooms_are_forgotten_when_there_are_too_many_and_count_as_rested() -> None:
    pace = Pace(Rate(burst=1, every_s=10**9), Rate(burst=10**9, every_s=0.0))
    for room in range(MAX_ROOMS + 1):
        assert pace.take(f"!{room}", 1, 0.0) == 0
    assert pace.take(f"!{MAX_ROOMS}", 1, 0.0) > 0
    assert pace.take("!0", 1, 0.0) == 0


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 2)), max_size=60))
def test_no_burst_is_longer_and_no_stretch_faster_than_said(steps: list[tuple[float, int]]) -> None:
    pace = Pace(FEW, Rate(burst=10**6, every_s=0.0))
    now_s, taken = 0.0, 0
    for pause_s, cost in steps:
        now_s += pause_s
        if pace.take("!a", cost, now_s) == 0:
            taken += cost
    assert taken <= FEW.burst + now_s / FEW.every_s
