# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.cutoff: a stop that doesn't end is ended."""

from __future__ import annotations

import asyncio
import threading

from structlog.testing import capture_logs

from gateway.cutoff import CutOff


class End:
    """Takes the place of the process's end."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.came = threading.Event()

    def __call__(self, code: int) -> None:
        self.code = code
        self.came.set()


async def test_past_the_limit_the_process_ends_and_the_log_names_who_hangs() -> None:
    end, released = End(), asyncio.Event()
    hanging = asyncio.create_task(released.wait(), name="deliver radio")
    done = asyncio.create_task(asyncio.sleep(0), name="api")
    await done
    with capture_logs() as logs, CutOff(end) as cut_off:
        cut_off.arm(0.01, [hanging, done])
        assert await asyncio.to_thread(end.came.wait, 10)

    assert end.code == 1
    assert logs[0]["event"] == "stop_cut_off"
    assert logs[0]["hanging"] == ["deliver radio"]
    released.set()
    await hanging


def test_when_no_task_hangs_it_says_so() -> None:
    end = End()
    with capture_logs() as logs, CutOff(end) as cut_off:
        cut_off.arm(0.01, [])
        assert end.came.wait(10)

    assert logs[0]["hanging"] == ["closing the stores"]


def test_a_stop_that_ends_in_time_ends_nothing_else() -> None:
    end = End()
    with CutOff(end) as cut_off:
        cut_off.arm(0.05, [])

    assert not end.came.wait(0.15)


def test_without_a_stop_there_is_no_limit() -> None:
    end = End()
    with CutOff(end):
        pass

    assert end.code is None
