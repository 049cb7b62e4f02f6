# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import STEP_MS, ManualClock, SystemClock
from tests.clocks import followed

START_MS = 1_600_000_000_000


class Box:
    """A box's two clocks, as the kernel gives them."""

    def __init__(self) -> None:
        self.wall_ms = START_MS
        self.monotonic_s = 1234.5

    def passes(self, ms: int) -> None:
        self.wall_ms += ms
        self.monotonic_s += ms / 1000

    def clock(self, time_scale: float = 1.0) -> SystemClock:
        return SystemClock(time_scale=time_scale, wall_ms=lambda: self.wall_ms, monotonic=lambda: self.monotonic_s)


def test_it_starts_at_the_wall_time_and_goes_on_with_it():
    box = Box()
    clock = box.clock()
    box.passes(90_000)

    assert clock.now_ms() == START_MS + 90_000
    assert clock.monotonic() == pytest.approx(90.0)
    assert followed(clock) == 0


def test_a_step_of_the_wall_clock_is_not_seen_before_it_is_checked():
    box = Box()
    clock = box.clock()
    box.wall_ms += 3_600_000

    assert clock.now_ms() == START_MS
    assert followed(clock) == 3_600_000
    assert clock.now_ms() == START_MS + 3_600_000
    assert followed(clock) == 0


@pytest.mark.parametrize("difference", [0, 1, STEP_MS, -STEP_MS])
def test_a_small_difference_is_no_step(difference):
    box = Box()
    clock = box.clock()
    box.wall_ms += difference

    assert followed(clock) == 0
    assert clock.now_ms() == START_MS


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**9), st.integers(-2 * 10**12, 2 * 10**12).filter(lambda ms: not 0 < abs(ms) < 2 * STEP_MS)
        ),
        max_size=12,
    )
)
def test_steps_add_up_and_time_between_them_never_jumps(happenings):
    """However the wall clock is set: between checks only what passed shows, and after a check both agree."""
    box = Box()
    clock = box.clock()
    stepped_ms = 0
    for passed_ms, step_ms in happenings:
        before_ms = clock.now_ms()
        box.wall_ms += step_ms
        box.passes(passed_ms)

        assert abs(clock.now_ms() - before_ms - passed_ms) <= 1
        found_ms = followed(clock)
        assert abs(found_ms - step_ms) <= 2 * len(happenings)
        stepped_ms += found_ms
        assert abs(clock.now_ms() - box.wall_ms) <= STEP_MS


@given(st.lists(st.integers(0, 10**6), max_size=20), st.integers(-(10**12), 10**12))
def test_monotonic_time_only_grows_and_knows_no_steps(passes, step_ms):
    box = Box()
    clock = box.clock()
    seen = [clock.monotonic()]
    for ms in passes:
        box.wall_ms += step_ms
        box.passes(ms)
        followed(clock)
        seen.append(clock.monotonic())

    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(sum(passes) / 1000)


def test_a_scaled_clock_runs_faster_and_still_sees_a_step_as_what_it_is():
    box = Box()
    clock = box.clock(time_scale=60)
    box.passes(1000)
    assert clock.now_ms() == START_MS + 60_000
    assert followed(clock) == 0

    box.wall_ms += 5000
    assert followed(clock) == 5000
    assert clock.now_ms() == START_MS + 65_000


async def test_a_scaled_sleep_is_as_much_shorter():
    clock = SystemClock(time_scale=1000)
    before = clock.monotonic()
    await clock.sleep(10)

    assert clock.monotonic() - before >= 10


async def test_the_system_clock_takes_its_time_from_the_system():
    clock = SystemClock()
    await clock.sleep(0)

    assert followed(clock) == 0
    assert clock.now_ms() > START_MS


async def test_sleepers_wake_in_the_order_of_their_times():
    clock = ManualClock(START_MS)
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("third", 3), ("first", 1), ("second", 2), ("also second", 2)):
            group.create_task(sleeper(name, seconds))
        late = group.create_task(sleeper("late", 60))
        await asyncio.sleep(0)
        clock.advance(0.999)
        await asyncio.sleep(0)
        assert woken == []
        clock.advance(5)
        await asyncio.sleep(0)
        assert woken == ["first", "second", "also second", "third"]
        late.cancel()
    clock.advance(100)

    assert clock.monotonic() == pytest.approx(105.999)
    assert clock.now_ms() == START_MS + 105_999


async def test_a_manual_clock_steps_when_it_is_checked():
    clock = ManualClock(START_MS)
    clock.step(-5000)
    assert clock.now_ms() == START_MS

    assert followed(clock) == -5000
    assert clock.now_ms() == START_MS - 5000
    assert followed(clock) == 0
    assert clock.monotonic() == 0
    await clock.sleep(0)
