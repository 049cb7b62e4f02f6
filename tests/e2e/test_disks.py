# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway as a process on a bad disk: everything crosses once and in order, and its state is clear."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridges.sim.http10 import ask
from gateway import service
from gateway.config import load
from gateway.model import BridgeKind
from gateway.registry import Registry
from tests.disks import BadDisk, fill_up, mounted, remount
from tests.e2e.hop_child import FileBridge
from tests.e2e.test_kill_at_every_hop import CHILD, CONVERSATIONS, ROUTE

CONFIG = """
[gateway]
name = "box"
data_dir = "{data}"
run_dir = "{folder}/run"
[queue]
url = "embedded"
fsync = "{fsync}"
[api]
listen = "127.0.0.1:0"
[bridges.near]
kind = "file"
folder = "{folder}"
[bridges.far]
kind = "file"
folder = "{folder}"
{routes}
"""
FSYNC_MS = 800


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: sockets go in there."""
    made = Path(tempfile.mkdtemp(prefix="cb-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


class Box:
    """The gateway between two networks that are files, in a process of its own."""

    def __init__(self, folder: Path, *, data: Path | None = None, fsync: str = "everysec", expires: str = "") -> None:
        self.folder = folder
        self.environment: dict[str, str] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.said: list[str] = []
        limit = f'expires = {{ far = "{expires}" }}\n' if expires else ""
        routes = "".join(ROUTE.format(n=n) + limit for n in range(CONVERSATIONS))
        config = CONFIG.format(folder=folder, data=data or folder / "data", fsync=fsync, routes=routes)
        (folder / "crossband.toml").write_text(config)

    def say(self, count: int) -> None:
        """Let people say so many things more, before it starts."""
        self.said += [f"text {len(self.said) + n}" for n in range(count)]
        (self.folder / "said").write_text("\n".join(self.said) + "\n")

    def start(self) -> None:
        command = [sys.executable, str(CHILD), str(self.folder), "never", "0"]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        log.close()

    def kill(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def ended(self, within_s: float = 60) -> None:
        """It ends by itself when everything is shown."""
        assert self.process
        code = await asyncio.wait_for(asyncio.to_thread(self.process.wait), within_s)
        assert code == 0, (self.folder / "log").read_text()[-3000:]

    def shown(self) -> list[tuple[str, str]]:
        """Return what people see: a key shows once, as on any network."""
        path = self.folder / "shown"
        rows = [line.split("\t") for line in path.read_text().splitlines()] if path.exists() else []
        return list({key: (room, body) for key, room, body in rows}.values())

    def check(self) -> None:
        """Everything was shown once, and in order."""
        assert sorted(body for _, body in self.shown()) == sorted(self.said)
        for number in range(CONVERSATIONS):
            assert [body for room, body in self.shown() if room == f"room{number}"] == self.said[number::CONVERSATIONS]

    async def status(self) -> dict[str, dict[str, str]]:
        try:
            answer = await ask(self.folder / "run" / "control.sock", "GET", "/api/v1/status", timeout_s=5)
        except (OSError, TimeoutError):
            return {"journal": {"state": "", "reason": ""}, "queue": {"state": "", "reason": ""}}
        return dict(json.loads(answer.body))

    async def until(self, told: Callable[[dict[str, dict[str, str]]], bool], within_s: float = 30) -> None:
        """Wait until its status says so."""
        status = {}
        try:
            async with asyncio.timeout(within_s):
                while not told(status := await self.status()):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"{status}\n{(self.folder / 'log').read_text()[-3000:]}")

    def count_in_log(self, event: str) -> int:
        return (self.folder / "log").read_text().count(event)


@asynccontextmanager
async def running(box: Box) -> AsyncIterator[Box]:
    box.start()
    try:
        yield box
    finally:
        if box.process and box.process.poll() is None:
            box.kill()


@pytest.mark.parametrize(
    ("which", "count", "from_the_start"),
    [
        ("data/journal.db", 250, False),
        pytest.param("data", 90, True, marks=pytest.mark.slow),  # a source gives one message a commit: 1.25 a second
    ],
    ids=["journal", "all of it"],
)
async def test_on_a_disk_that_takes_800_ms_to_sync_everything_crosses_though_it_is_killed_in_the_middle(
    folder: Path, which: str, count: int, *, from_the_start: bool
) -> None:
    box = Box(folder)
    bad = BadDisk(folder, str(folder / which))
    box.environment = bad.environment
    box.say(count)
    if from_the_start:
        bad.takes(FSYNC_MS)
    async with running(box):
        while not box.shown():
            await asyncio.sleep(0.02)
        bad.takes(FSYNC_MS)
        await box.until(lambda status: status["journal"]["state"] == "slow")
        assert (await box.status())["journal"]["reason"].startswith("slow: a commit ")
        assert box.count_in_log("journal_slow") == 1
        there = len(box.shown())
        assert there < count
        while len(box.shown()) == there:
            await asyncio.sleep(0.02)
        box.kill()
    async with running(box):
        while from_the_start and len(box.shown()) < count * 2 // 3:
            await asyncio.sleep(0.05)
        bad.is_good()
        await box.ended()
    box.check()


@pytest.mark.parametrize("fsync", ["everysec", pytest.param("always", marks=pytest.mark.slow)])
async def test_on_a_full_disk_it_accepts_nothing_says_so_and_goes_on_when_there_is_room(
    folder: Path, fsync: str
) -> None:
    with mounted(folder / "disk", "64m") as disk:
        box = Box(folder, data=disk / "data", fsync=fsync)
        box.say(600)
        async with running(box):
            while len(box.shown()) < 50:
                await asyncio.sleep(0.02)
            filler = fill_up(disk)
            await box.until(lambda status: status["journal"]["state"] == "down")
            status = await box.status()
            assert "disk is full" in status["journal"]["reason"]
            assert not status["ready"]
            assert len(box.shown()) < 600
            await asyncio.sleep(1.2)  # in this state it must not fill the log either
            for event in ("journal_down", "queue_down", "embedded_server_disk"):
                assert box.count_in_log(event) <= 2
            filler.unlink()
            await box.until(lambda status: status["journal"]["state"] in {"up", ""})
            await box.ended()
        box.check()


def test_on_a_read_only_disk_it_ends_with_1_so_that_it_is_started_again_until_that_can_be_written(folder: Path) -> None:
    """2 would say that the configuration is wrong: the service is not started again after that."""
    with mounted(folder / "disk", "48m") as disk:
        box = Box(folder, data=disk / "data")
        box.say(30)
        remount(disk, "ro")
        registry = Registry({"file": lambda: BridgeKind(create=FileBridge, check=lambda _: frozenset())})
        assert service.run(load(folder / "crossband.toml", {}, registry=registry), registry=registry) == 1
        remount(disk, "rw")
        box.start()
        asyncio.run(box.ended())
        box.check()


async def test_a_disk_that_turns_read_only_is_told_and_costs_nothing(folder: Path) -> None:
    box = Box(folder)
    bad = BadDisk(folder, str(folder / "data"))
    box.environment = bad.environment
    box.say(300)
    async with running(box):
        while len(box.shown()) < 30:
            await asyncio.sleep(0.02)
        bad.refuses(errno.EROFS)
        await box.until(lambda status: status["journal"]["state"] == "down")
        shown = len(box.shown())
        assert shown < 300
        assert box.count_in_log("journal_down") == 1
        bad.is_good()
        await box.ended()
    box.check()
