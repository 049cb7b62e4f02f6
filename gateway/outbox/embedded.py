# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded server: found, started, watched, mended, stopped.

A private Valkey or Redis on a unix socket. Two servers on one directory would ruin it without a word,
so two locks stand before it: `lock` is the gateway's; `server.lock` is inherited by the server, and
thereby tells of one that outlived a killed gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import structlog

from gateway.model import StoreRefused
from gateway.outbox.asking import ask, sync_by_the_new_time
from gateway.outbox.binary import engine_of, find_binary
from gateway.outbox.dataset import Dataset
from gateway.outbox.disk import Disk
from gateway.outbox.server_log import ServerLog

log = structlog.get_logger()

_LONGEST_SOCKET_PATH: Final = 100
_STOP_WITHIN_S: Final = 10.0
_ORPHAN_WITHIN_S: Final = 10.0
"""Longer than its own clean stop takes; past it someone has to look."""
_ASK_EVERY_S: Final = 0.02
_EARLY_DEATHS_TO_QUARANTINE: Final = 3
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_TRAMPOLINE: Final = Path(__file__).with_name("parent_death.py")


class EmbeddedServer:
    """A server for the queue. ``async with`` takes the directory, `run` keeps the server alive.

    Opening raises StoreRefused, with the mend, when another gateway has the directory, no usable
    program is found, or another engine wrote the data.
    """

    def __init__(
        self,
        directory: Path,
        run_dir: Path,
        *,
        server_path: Path | None = None,
        fsync: Literal["everysec", "always"] = "everysec",
        maxmemory_bytes: int = 256 * 1024 * 1024,
    ) -> None:
        self._directory = directory
        self._socket = run_dir / "queue.sock"
        self._server_path = server_path
        self._fsync = fsync
        self._maxmemory_bytes = maxmemory_bytes
        self._closing = contextlib.ExitStack()
        self._binary = Path()
        self._data: Dataset | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._disk = Disk(directory)
        self._set_back = asyncio.Event()
        self._log = ServerLog(directory / "server.log")
        self.ready = asyncio.Event()
        """Set while the server answers."""
        self.status = "not started"
        """What it is doing, in words."""

    @property
    def url(self) -> str:
        """Where it is, for `RedisOutbox`."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def __aenter__(self) -> Self:
        with contextlib.ExitStack() as closing:
            try:
                self._open(closing)
            except OSError as error:
                raise StoreRefused(f"the embedded queue can't use {self._directory}: {error}") from error
            self._closing = closing.pop_all()
        return self

    def _open(self, closing: contextlib.ExitStack) -> None:
        if len(os.fsencode(self._socket)) >= _LONGEST_SOCKET_PATH:
            raise StoreRefused(
                f"the path of the queue's socket is too long: {self._socket}; use a shorter run directory"
            )
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _locked(self._directory / "lock", closing) is None:
            raise StoreRefused(f"another gateway is using {self._directory}")
        self._binary = find_binary(self._server_path).resolve()
        self._data = Dataset(self._directory, engine_of(self._binary))
        self._data.refuse_foreign()
        self._data.files.mkdir(mode=0o700, exist_ok=True)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stop()
        self._closing.close()

    async def run(self) -> None:
        """Keep the server running until cancelled; then stop it cleanly.

        From the main thread only: the server is told to end when the thread that started it does.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("the embedded server must be run from the main thread")
        early_deaths = 0
        try:
            while True:
                try:
                    early_deaths = 0 if await self._run_once() else early_deaths + 1
                    await self._recover(early_deaths)
                except OSError as error:  # no space, no file, no process left
                    if self.status != (status := f"not running: {error}"):
                        log.warning("embedded_server_not_started", reason=str(error))
                    self.status = status
                    await asyncio.sleep(_PAUSES_S[-1])
        finally:
            await self._stop()

    def clock_was_set_back(self) -> None:
        """Say so: the server must be told, or it syncs nothing until the time it was is reached again."""
        self._set_back.set()

    async def keep_syncing(self) -> None:
        """Tell the server, for ever. One that was started since knows no other time."""
        while True:
            await self._set_back.wait()
            self._set_back.clear()
            await self.ready.wait()
            if self._fsync == "everysec":
                await sync_by_the_new_time(self._socket)

    async def _run_once(self) -> bool:
        """Start the server and wait for its end; return whether it had answered."""
        process = await self._start()
        answered = await self._until_ready(process)
        code = await process.wait()
        self.ready.clear()
        self.status = f"starting again: the server ended ({_how(code)})"
        log.warning("embedded_server_ended", how=_how(code), answered=answered)
        return answered

    async def _start(self) -> asyncio.subprocess.Process:
        self.status = "starting"
        with contextlib.ExitStack() as until_started:
            lock = await self._server_lock(until_started)
            self._log.begin()
            said = until_started.enter_context(self._log.path.open("ab"))  # what it says before it logs
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                _TRAMPOLINE,
                str(os.getpid()),
                self._binary,
                *self._arguments(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,  # Ctrl-C is for the gateway, which stops us in its own order
                pass_fds=(lock,),
            )
        return self._process

    async def _server_lock(self, until_started: contextlib.ExitStack) -> int:
        """Return the lock to hand to the server; waits for one of a killed gateway to end."""
        path = self._directory / "server.lock"
        if self._process is not None:
            # Ours is dead for sure; only a rewrite it had forked may still hold the old lock.
            path.unlink(missing_ok=True)
        waited_from, said = time.monotonic(), False
        while (lock := _locked(path, until_started)) is None:
            self.status = "waiting for the server of an earlier gateway to end"
            if not said and time.monotonic() - waited_from > _ORPHAN_WITHIN_S:
                said = True
                log.error("embedded_server_orphan", directory=str(self._directory), mend="end the process that uses it")
            await asyncio.sleep(_ASK_EVERY_S)
        return lock

    def _arguments(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "600",
            "dir": str(self._dataset.files),
            "logfile": str(self._log.path),
            "databases": "1",
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "save": "",
            "maxmemory": str(self._maxmemory_bytes),
            "maxmemory-policy": "noeviction",
            "auto-aof-rewrite-percentage": "100",
            "auto-aof-rewrite-min-size": "16mb",
        }
        return [word for key, value in settings.items() for word in (f"--{key}", value)]

    async def _until_ready(self, process: asyncio.subprocess.Process) -> bool:
        """Ask until it answers; False if it ended before."""
        while process.returncode is None:
            answer = await ask(self._socket)
            if answer.startswith(b"+PONG"):
                self._dataset.stamp()
                self.status = f"running {self._dataset.engine}"
                self.ready.set()
                log.info("embedded_server_ready", engine=str(self._dataset.engine), pid=process.pid)
                return True
            if answer.startswith(b"-LOADING"):
                self.status = "loading its data"
            await asyncio.sleep(_ASK_EVERY_S)
        return False

    async def _recover(self, early_deaths: int) -> None:
        """Do what can be done for a server that won't start, then wait a little longer each time.

        One that had answered is started again at once: something else killed it.
        """
        now_s = int(time.time())
        if fault := self._disk.fault(self._log.disk_error(), is_sure=not early_deaths):
            self.status = f"not running: the disk of {self._directory} can't be written: {fault}"
            await self._disk.wait(fault)
            return
        if not early_deaths:
            return
        if self._log.says_load_error():
            self._mend(early_deaths, now_s)
        else:
            self.status = f"not running: it ends at once, see {self._log.path}"
        await asyncio.sleep(_PAUSES_S[min(early_deaths, len(_PAUSES_S)) - 1])

    def _mend(self, early_deaths: int, now_s: int) -> None:
        try:
            mended = self._dataset.mend_tail(now_s=now_s)
        except StoreRefused as refusal:
            mended = None
            log.warning("embedded_server_tail_not_mended", reason=str(refusal))
        if mended:
            self.status = "starting again: the damaged end of its data was cut off"
            log.warning("embedded_server_tail_cut", cut_bytes=mended.cut_bytes, backup=str(mended.backup))
        elif early_deaths >= _EARLY_DEATHS_TO_QUARANTINE:
            aside = self._dataset.quarantine(now_s=now_s)
            self.status = "starting again, empty: its data can't be loaded and was moved aside"
            log.error("embedded_server_quarantined", moved_to=str(aside), mend="the journal refills the queue")

    @property
    def _dataset(self) -> Dataset:
        if self._data is None:
            raise StoreRefused("the embedded server isn't open")
        return self._data

    async def _stop(self) -> None:
        self.ready.clear()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            log.warning("embedded_server_killed", after_s=_STOP_WITHIN_S)
            process.kill()
            await process.wait()
        self.status = "stopped"


def _locked(path: Path, until: contextlib.ExitStack) -> int | None:
    """Return a descriptor that holds the lock, closed with the stack; None if another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    until.callback(os.close, descriptor)
    return descriptor


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
