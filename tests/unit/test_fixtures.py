# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests share is made once: a homeserver takes seconds to start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.steady_time import SteadyLoop
from tests.virtual_time import VirtualLoop

made: list[str] = []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared() -> AsyncIterator[int]:
    made.append("shared")
    yield len(made)
    made.append("ended")


@pytest.mark.parametrize("time", [1, 2])
async def test_asynchronous_tests_share_what_lives_in_a_longer_loop(shared: int, time: int) -> None:
    assert (shared, made) == (1, ["shared"])
    assert isinstance(asyncio.get_running_loop(), SteadyLoop)


@pytest.mark.parametrize("time", [1, 2])
def test_synchronous_tests_share_it_too(shared: int, time: int) -> None:
    assert (shared, made) == (1, ["shared"])


async def test_asynchronous_tests_after_them_still_share_it(shared: int) -> None:
    assert (shared, made) == (1, ["shared"])


@pytest.mark.virtual_time
async def test_a_marked_test_has_a_loop_that_does_not_wait() -> None:
    assert isinstance(asyncio.get_running_loop(), VirtualLoop)
