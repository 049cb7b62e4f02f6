# SPDX-License-Identifier: GPL-3.0-or-later
"""Three boxes in a row, A - B - C, each a process on a disk of its own; between B and C a link that can be cut.

Over Ethernet of network namespaces where there may be any, or over loopback with relays as cables.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, Protocol

from bridges.lan.identity import box_key, keep_community
from bridges.lan.log import Log
from bridges.lan.membership import Add, root_of
from bridges.lan.opening import LOG_FILE
from bridges.lan.store import Store
from bridges.sim.loopback import free_port
from tests.lan_boxes import Cable
from tests.segments import Ethernet, Host, ethernet

SYNC = "0.0.0.0:8448"
START_S = 60.0


class BoxProcess:
    """A box that can be asked, killed and started again. `host`: in whose network; None: in ours."""

    def __init__(self, folder: Path, name: str, host: Host | None = None) -> None:
        self.folder = folder
        self.name = name
        self.host = host
        self.table: dict[str, Any] = {"name": name, "discover": False, "reaches": None}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it, and wait until its bridge is up."""
        self._process = self._spawn() if self.host is None else self.host.call(self._spawn)
        assert await self._answer() == "up"

    async def stop(self) -> None:
        """Let it end in order."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._ended()

    async def kill9(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            await self._ended()

    async def ask(self, command: str, *arguments: object) -> Any:
        """Have it do something: see `lan_child.Child`."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps([command, arguments]) + "\n").encode())
        self._process.stdin.flush()
        return await self._answer()

    def copy_log(self, to: Path) -> None:
        """Copy its log as it is now."""
        with closing(sqlite3.connect(self.folder / LOG_FILE)) as log, closing(sqlite3.connect(to)) as copy:
            log.backup(copy)

    def put_log_back(self, copy: Path) -> None:
        """Replace its log by an older copy; it must not be running."""
        for beside in ("-wal", "-shm"):
            (self.folder / f"{LOG_FILE}{beside}").unlink(missing_ok=True)
        (self.folder / LOG_FILE).write_bytes(copy.read_bytes())

    async def _ended(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        await asyncio.to_thread(process.wait, START_S)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()

    async def _answer(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self._process.stdout.readline), START_S * 2)
        if not line:
            raise RuntimeError(f"{self.name} ended:\n{(self.folder / 'log').read_text()[-4000:]}")
        return json.loads(line)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.lan_child", str(self.folder), json.dumps(self.table)]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=os.environ, bufsize=-1
            )


class Link(Protocol):
    """What is between B and C."""

    def cut(self) -> None:
        """Let nothing through, and tell nobody."""

    def join(self) -> None:
        """Let all through again."""


class Row:
    """The boxes, and the link."""

    def __init__(self, boxes: Sequence[BoxProcess], link: Link) -> None:
        self.boxes = boxes
        self.a, self.b, self.c = boxes[:3]
        self.link = link

    async def states(self) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(box.ask("state") for box in self.boxes)))

    async def until(self, true: Callable[[list[dict[str, Any]]], bool], within_s: float) -> None:
        """Wait until it is true of what all boxes say; a failure says what they said last."""
        states: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(within_s):
                while not true(states := await self.states()):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"not within {within_s:g} s: {states}") from None


class EthernetLink:
    """C's cable to the switch that B is on, too."""

    def __init__(self, wires: Ethernet) -> None:
        self._wires = wires

    def cut(self) -> None:
        self._wires.cut("c2")

    def join(self) -> None:
        self._wires.mend("c2", "sw2")


class Carrier(EthernetLink):
    """The same, pulled out: both ends of it see that."""

    def cut(self) -> None:
        self._wires.lose_carrier("c2")

    def join(self) -> None:
        self._wires.regain_carrier("c2")


class Relays:
    """What carries TCP between B and C on loopback."""

    def __init__(self, *cables: Cable) -> None:
        self._cables = cables

    def cut(self) -> None:
        for cable in self._cables:
            cable.cut()

    def join(self) -> None:
        for cable in self._cables:
            cable.join()

    @property
    def carried(self) -> int:
        """The bytes that went through, both ways."""
        return sum(cable.carried for cable in self._cables)


@asynccontextmanager
async def ethernet_row(folder: Path, link: type[EthernetLink] = EthernetLink) -> AsyncIterator[Row]:
    """Three boxes on two switches; A and C share none."""
    with ethernet() as wires:
        boxes = [BoxProcess(folder / name, name, wires.host()) for name in "abc"]
        for switch in ("sw1", "sw2"):
            wires.switch(switch)
        plugs = (("a1", "10.77.1.1"), ("b1", "10.77.1.2"), ("b2", "10.77.2.2"), ("c2", "10.77.2.3"))
        for box in boxes:
            assert box.host is not None
            for cable, address in plugs:
                if cable.startswith(box.name):
                    wires.plug(box.host, cable, f"sw{cable[-1]}", address)
            box.table |= {"sync": SYNC, "peers": {"a": ["10.77.1.2:8448"], "c": ["10.77.2.2:8448"]}.get(box.name, [])}
        async with _running(boxes):
            yield Row(boxes, link(wires))


@asynccontextmanager
async def loopback_row(folder: Path) -> AsyncIterator[Row]:
    """The same without root: each calls another by a relay, and has no other way."""
    boxes = [BoxProcess(folder / name, name) for name in "abc"]
    at = {box.name: f"127.0.0.1:{free_port()}" for box in boxes}
    async with AsyncExitStack() as laid:
        cables = {way: await laid.enter_async_context(Cable(at[way[1]])) for way in ("ab", "ba", "bc", "cb")}
        for box in boxes:
            peers = [cable.address for way, cable in cables.items() if way[0] == box.name]
            box.table |= {"sync": at[box.name], "peers": peers, "reaches": peers}
        async with _running(boxes):
            yield Row(boxes, Relays(cables["bc"], cables["cb"]))


@asynccontextmanager
async def ethernet_crowd(folder: Path, count: int) -> AsyncIterator[Sequence[BoxProcess]]:
    """So many boxes on one switch; each was told of the first."""
    with ethernet() as wires:
        wires.switch("sw")
        boxes = [BoxProcess(folder / f"n{number}", f"n{number}", wires.host()) for number in range(count)]
        for number, box in enumerate(boxes):
            assert box.host is not None
            wires.plug(box.host, f"n{number}", "sw", f"10.77.0.{number + 1}")
            box.table |= {"sync": SYNC, "peers": ["10.77.0.1:8448"] if number else []}
        async with _running(boxes):
            yield boxes


@asynccontextmanager
async def _running(boxes: Sequence[BoxProcess]) -> AsyncIterator[None]:
    found(boxes)
    async with AsyncExitStack() as running:
        for box in boxes:
            running.push_async_callback(box.kill9)
        await asyncio.gather(*(box.start() for box in boxes))
        yield


def found(boxes: Sequence[BoxProcess]) -> None:
    """Make these boxes one community, before any is started."""
    for box in boxes:
        box.folder.mkdir(mode=0o700, parents=True)
    keys = [box_key(box.folder) for box in boxes]
    root = root_of(keys[0].public_key(), boxes[0].name)
    logs = [Store(box.folder / LOG_FILE) for box in boxes]
    first = Log(logs[0], keys[0], root, start=random.getrandbits(64))
    for key, box in zip(keys[1:], boxes[1:], strict=True):
        first.state(Add(key=key.public_key().public_bytes_raw(), name=box.name), time.time_ns() // 1_000_000)
    statements = first.statements()
    for key, box, store in zip(keys, boxes, logs, strict=True):
        keep_community(box.folder, root)
        Log(store, key, root, start=random.getrandbits(64)).take_statements(statements)
        store.close()
