# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband demo``: what it shows, what it counts, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bridges.sim.person import Person
from bridges.sim.synapse import PYTHON_VARIABLE
from tests.services import synapse_or_skip

ENDS_WITHIN_S = 30.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: sockets go in there."""
    made = Path(tempfile.mkdtemp(prefix="cb-"))
    yield made / "demo"
    shutil.rmtree(made, ignore_errors=True)


@asynccontextmanager
async def demo(*arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The demo, as a terminal would start it: a process group of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def told(process: asyncio.subprocess.Process) -> dict[str, str]:
    """Wait until it runs; return what it said about where to look."""
    facts: dict[str, str] = {}
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode():
        name, _, value = line.strip().partition(" ")
        facts[name] = value.strip()
        if name == "log":
            return facts
    pytest.fail(f"it ended: {facts}")


def around(folder: Path) -> set[int]:
    """Return the processes that have this directory in their command line."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.fsencode(folder) in (process / "cmdline").read_bytes():
                found.add(int(process.name))
    return found


async def nobody_left(folder: Path) -> None:
    async with asyncio.timeout(ENDS_WITHIN_S):
        while around(folder):
            await asyncio.sleep(0.05)


async def test_one_logs_in_with_what_it_prints_and_is_answered_and_ctrl_c_leaves_nothing_running() -> None:
    synapse_or_skip()
    async with demo() as process:
        facts = await told(process)
        folder = Path(facts["log"]).parents[1]
        visitor = await Person.login(facts["homeserver"], facts["user"], facts["password"])
        await visitor.join(facts["room"])
        async with visitor:
            hello = await visitor.say("Hello from outside")
            await visitor.seen.wait_for(lambda seen: seen.reply_to == hello, 30)
        assert len(around(folder)) >= 4

        os.killpg(process.pid, signal.SIGINT)

        assert await asyncio.wait_for(process.wait(), ENDS_WITHIN_S) == 0
    assert not around(folder)
    assert not folder.exists()


async def test_a_demo_that_is_killed_takes_everything_with_it(folder: Path) -> None:
    synapse_or_skip()
    async with demo("--dir", str(folder)) as process:
        await told(process)
        assert len(around(folder)) >= 4

        process.kill()

        await nobody_left(folder)


async def test_a_demo_that_is_stopped_while_it_starts_leaves_nothing_running(folder: Path) -> None:
    synapse_or_skip()
    async with demo("--dir", str(folder)) as process:
        assert process.stderr is not None
        assert b"homeserver" in await process.stderr.readline()

        process.terminate()

        assert await asyncio.wait_for(process.wait(), ENDS_WITHIN_S) == 0
    assert not around(folder)


async def test_without_a_homeserver_it_names_the_mend(tmp_path: Path) -> None:
    async with demo("--once", **{PYTHON_VARIABLE: str(tmp_path / "absent")}) as process:
        out, err = await process.communicate()

    assert process.returncode == 1
    assert b"make run" in err
    assert not out


async def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    synapse_or_skip()
    diary = tmp_path / "diary"
    diary.write_text("dear")
    async with demo("--dir", str(tmp_path)) as process:
        _, err = await process.communicate()

    assert process.returncode == 1
    assert b"not empty" in err
    assert diary.read_text() == "dear"


@pytest.mark.timeout(180)
async def test_the_scripted_conversation_survives_three_outages_and_counts_them() -> None:
    """Over a minute: it is the product's main job, at the pace of real radios."""
    synapse_or_skip()
    async with demo("--once", "-o", "json") as process:
        out, err = await process.communicate()
    rows = json.loads(out)

    assert process.returncode == 0, err.decode()
    assert [row["direction"] for row in rows] == ["room -> radio", "radio -> room"]
    for row in rows:
        assert (row["sent"], row["arrived"]) == (12, 12)
        assert (row["lost"], row["doubled"], row["out_of_order"]) == (0, 0, 0)
        assert row["replies_kept"] == row["replies"] > 0
