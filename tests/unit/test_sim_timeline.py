# SPDX-License-Identifier: GPL-3.0-or-later
"""A timeline finds what is there and what is still to come."""

from __future__ import annotations

import asyncio

import pytest

from bridges.sim import timeline
from bridges.sim.timeline import Timeline


async def test_what_is_there_already_is_found_at_once_the_first_one_first():
    numbers: Timeline[int] = Timeline()
    for number in (1, 2, 3, 4):
        numbers.add(number)

    assert await numbers.wait_for(lambda number: number % 2 == 0) == 2


async def test_what_comes_later_is_waited_for_by_everyone():
    numbers: Timeline[int] = Timeline()
    waiting = [asyncio.ensure_future(numbers.wait_for(lambda number: number > 1)) for _ in range(3)]
    await asyncio.sleep(0)
    numbers.add(1)
    numbers.add(2)
    numbers.add(3)

    assert await asyncio.gather(*waiting) == [2, 2, 2]


async def test_what_never_comes_times_out():
    numbers: Timeline[int] = Timeline()
    numbers.add(1)

    with pytest.raises(TimeoutError):
        await numbers.wait_for(lambda number: number == 2, timeout_s=0.01)


async def test_listeners_are_told_in_order_and_the_oldest_is_forgotten(monkeypatch):
    monkeypatch.setattr(timeline, "KEPT", 3)
    numbers: Timeline[int] = Timeline()
    told: list[int] = []
    numbers.told.append(told.append)
    for number in range(5):
        numbers.add(number)

    assert told == [0, 1, 2, 3, 4]
    assert list(numbers) == [2, 3, 4]
    assert await numbers.wait_for(lambda number: number > 2) == 3
