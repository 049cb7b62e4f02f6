# SPDX-License-Identifier: GPL-3.0-or-later
"""The time in which the tests run."""

from __future__ import annotations

import asyncio
import time

from tests.steady_time import STEP_S, SteadyLoop


async def test_tests_run_in_it():
    assert isinstance(asyncio.get_running_loop(), SteadyLoop)


async def test_no_time_passes_while_the_machine_lets_others_work():
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with asyncio.timeout(0.2):
        time.sleep(0.3)  # noqa: ASYNC251 - so it looks to us when others have the processor
        await asyncio.sleep(0.05)
    assert 0.05 <= loop.time() - began_s < 0.2


async def test_work_takes_time_and_one_long_step_only_a_moment():
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while loop.time() - began_s < 0.05:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    began_s, worked_s = loop.time(), time.thread_time()
    while time.thread_time() - worked_s < 0.05:
        pass
    assert 0 < loop.time() - began_s <= STEP_S


async def test_it_goes_no_faster_than_the_real_one():
    loop = asyncio.get_running_loop()
    began_s, really_s = loop.time(), time.monotonic()
    for _ in range(20):
        await asyncio.sleep(0.005)
        await asyncio.to_thread(time.sleep, 0.001)
    assert 0.1 <= loop.time() - began_s <= time.monotonic() - really_s + 0.001


async def test_another_thread_reads_it_too():
    loop = asyncio.get_running_loop()
    before_s = loop.time()
    assert before_s - 0.1 < await asyncio.to_thread(loop.time) <= loop.time()
