# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's process in a storm: killed, frozen, and started again as a service manager would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bridges.sim.http10 import Answer, ask

ROOT = Path(__file__).parents[2]
AGAIN_S = 0.5
LOG_BYTES = 32 * 1024 * 1024
UP_WITHIN_S = 60.0
EVENTS = (
    "queue_lost_its_tail",
    "embedded_server_tail_cut",
    "embedded_server_quarantined",
    "embedded_server_disk_full",
    "journal_down",
    "clock_stepped",
    "lease_lost",
    "drain_held",
    "bridge_down",
    "task_died",
    "gateway_cannot_run",
    "bridge_defect",
)
"""What the gateway says when something bit: a storm that never shows here tried nothing."""


class Victim:
    """One gateway. While `keep` runs it is started again whenever it has ended and nobody holds it down."""

    def __init__(self, folder: Path, config: str, *, run_dir: Path, time_scale: float = 1.0) -> None:
        self.folder = folder
        self.run_dir = run_dir
        self.log = folder / "gateway.log"
        self.clock_file = folder / "clock"
        self.ended_itself: list[int] = []
        """Exit codes nobody had asked for."""
        self.starts = 0
        self.on_kill: Callable[[], None] = lambda: None
        """Called just before each kill."""
        self._config = folder / "crossband.toml"
        self._config.write_text(config)
        self._time_scale = time_scale
        self._began = time.time()
        self._process: subprocess.Popen[bytes] | None = None
        self._held = 0
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def keep(self) -> None:
        """Start it whenever it isn't running, for ever."""
        while True:
            if not self._held and self.pid is None:
                if self._process is not None and (code := self._process.returncode) != -signal.SIGKILL:
                    self.ended_itself.append(code)
                    await asyncio.sleep(AGAIN_S)
                if not self._held:
                    self._start()
            self._bound_log()
            await asyncio.sleep(0.1)

    @asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """kill -9; inside it stays down, and its queue's server too."""
        async with self._turn:
            self._held += 1
            try:
                server = self.server_pid()
                self.kill9()
                await _gone(server)
                yield
            finally:
                self._held -= 1

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """SIGSTOP; inside it does nothing, and doesn't notice what happens around it."""
        async with self._turn:
            pid = self.pid
            _signal(pid, signal.SIGSTOP)
            try:
                yield
            finally:
                _signal(pid, signal.SIGCONT)

    def kill9(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self.on_kill()
            self._process.kill()
            self._process.wait()

    async def stop(self) -> int | None:
        """Ask it to end, for good; return its exit code."""
        self._held += 1
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return await asyncio.to_thread(self._process.wait, 25)
        except subprocess.TimeoutExpired:
            self.kill9()
            return None

    def server_pid(self) -> int | None:
        """Return its queue's server, while there is one."""
        if (pid := self.pid) is None:
            return None
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                if b"queue.sock" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None

    def told(self) -> dict[str, int]:
        """Return how often its log (as far as it is kept) says that a fault had an effect."""
        log = self.log.read_bytes() if self.log.exists() else b""
        return {event: count for event in EVENTS if (count := log.count(event.encode()))}

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        """Ask its API over the control socket; OSError if it doesn't answer."""
        return await ask(self.run_dir / "control.sock", method, path, **more)

    async def is_up(self) -> bool:
        """Whether it accepts messages and all its bridges are connected."""
        try:
            if (await self.ask("GET", "/readyz", timeout_s=2.0)).status != 200:
                return False
            bridges = (await self.ask("GET", "/api/v1/bridges", timeout_s=2.0)).json()
        except OSError:
            return False
        return all(bridge["state"] == "up" for bridge in bridges)

    async def wait_up(self, within_s: float = UP_WITHIN_S) -> None:
        """Wait until it `is_up`; TimeoutError."""
        async with asyncio.timeout(within_s):
            while not await self.is_up():
                await asyncio.sleep(0.1)

    def set_clock(self, offset_ms: int) -> None:
        """Set the wall clock it sees, relative to this machine's."""
        fresh = self.clock_file.with_suffix(".new")
        fresh.write_text(str(offset_ms))
        fresh.replace(self.clock_file)

    def _start(self) -> None:
        self.starts += 1
        command = [sys.executable, "-m", "tests.chaos.gateway_child", str(os.getpid())]
        command += [str(self._config), str(self.clock_file), str(self._time_scale), str(self._began)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _bound_log(self) -> None:
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > LOG_BYTES:
                os.truncate(self.log, 0)


def _signal(pid: int | None, number: int) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


async def _gone(pid: int | None) -> None:
    """Wait until a process that isn't our child has ended."""
    async with asyncio.timeout(20):
        while pid is not None and Path(f"/proc/{pid}/exe").exists() and not _is_zombie(pid):
            await asyncio.sleep(0.02)


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True
