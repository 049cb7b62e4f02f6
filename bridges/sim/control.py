# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to a simulated mesh in a process of its own: one JSON object a line, over a unix socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LINE_BYTES = 4 * 1024 * 1024
SOCKET = "control.sock"
RADIO = "radio"
_START_S = 15.0
_STOP_S = 5.0


class RefusedError(Exception):
    """The simulator could not do what was asked; the text says why."""


class RemoteMesh:
    """A client of the control socket. Each call has a connection of its own, so calls may overlap."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Nothing stays open between calls."""

    async def call(self, do: str, **arguments: Any) -> Any:
        """Ask for something; return its result. RefusedError if it can't be done, OSError if the simulator is gone."""
        async with aclosing(self._ask({"do": do, **arguments})) as answers:
            async for answer in answers:
                if "error" in answer:
                    raise RefusedError(answer["error"])
                return answer.get("result")
        msg = "the simulator is gone"
        raise ConnectionError(msg)

    async def say(self, node: str, text: str, **arguments: Any) -> int:
        """Have somebody at a node say something (`to`, `channel`, `reply_id`, `emoji`); return the packet id."""
        return int(await self.call("say", node=node, text=text, **arguments))

    async def heard(self, node: str, *, after: int = 0) -> list[dict[str, Any]]:
        """Return what a node heard since sequence number `after`."""
        return list(await self.call("heard", node=node, after=after))

    async def wait_text(self, node: str, text: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """Return the first packet with this text at a node, heard already or soon; else RefusedError."""
        return dict(await self.call("wait_text", node=node, text=text, timeout_s=timeout_s))

    async def watch(self) -> AsyncGenerator[dict[str, Any]]:
        """Yield all that any node hears from now on, until the simulator ends."""
        async with aclosing(self._ask({"do": "watch"})) as events:
            async for event in events:
                if "node" in event:
                    yield event

    async def _ask(self, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=LINE_BYTES)
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            while line := await reader.readline():
                yield dict(json.loads(line))
        finally:
            writer.close()


class SimProcess(RemoteMesh):
    """``python -m bridges.sim`` as a child process, started and stopped as an async context manager.

    It ends with its parent, however that ends.

    `port` is the path of the serial port, `tcp` the TCP port (None: no TCP). Further options are those of
    the command line (``time_scale=10`` is ``--time-scale 10``).
    """

    def __init__(self, directory: Path, *, tcp: int | None = None, **options: str | float) -> None:
        super().__init__(directory / SOCKET)
        self.directory = directory
        self.port = directory / RADIO
        self.tcp = tcp
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bridges.sim",
            *self._arguments(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_environment(),
        )
        try:
            async with asyncio.timeout(_START_S):
                await self._learn_ready(self._process)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stop()

    async def _learn_ready(self, process: asyncio.subprocess.Process) -> None:
        line = await process.stdout.readline() if process.stdout else b""
        if not line:
            msg = "the simulator did not start"
            raise ConnectionError(msg)
        self.tcp = json.loads(line)["tcp"]

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()

    def _arguments(self) -> list[str]:
        arguments = ["--dir", str(self.directory), "--with-parent"]
        if self.tcp is not None:
            arguments += ["--tcp", str(self.tcp)]
        for name, value in self._options.items():
            arguments += [f"--{name.replace('_', '-')}", str(value)]
        return arguments


def _environment() -> dict[str, str]:
    # The child finds this package wherever the parent found it, installed or not.
    root = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, inherited] if inherited else [root])}
