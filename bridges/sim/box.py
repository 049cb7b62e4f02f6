# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway box as its own process: configured, started, asked, killed and started again, from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bridges.sim.http10 import Answer, ask
from bridges.sim.loopback import LOOPBACK, free_port

_OK = 200
_LOOK_EVERY_S = 0.05

# Asks the kernel to end the gateway with the process that started it; the second check is for a
# starter that died before the request was in.
_LAUNCH = """
import ctypes, os, runpy, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv.pop(1)):
    sys.exit("whoever started this gateway is gone")
runpy.run_module("gateway", run_name="__main__", alter_sys=True)
"""


class BoxFailed(Exception):
    """The gateway didn't start, or isn't what was expected; the text has the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a box is connected to: one room and one radio channel, joined by the route `town`."""

    homeserver: str
    user_id: str
    access_token: str = field(repr=False)
    room: str
    """The room's alias or id."""
    radio: str
    """``serial:/path`` or ``tcp:host:port``."""
    channel: str = "LongFast"
    name: str = "hilltop"
    permissions: Mapping[str, str] = field(default_factory=lambda: {"*": "transmit"})
    more: str = ""
    """More tables, as TOML."""
    tables: Mapping[str, str] = field(default_factory=dict)
    """More lines of the table of a bridge, ``home`` or ``radio``, as TOML."""


class GatewayBox:
    """One gateway in its own directory. Its process ends with the one that started it, however that ends.

    What it writes goes to ``gateway.log`` there. Call from the main thread: the kernel's promise to
    end the child is bound to the thread that started it.
    """

    def __init__(self, folder: Path, wiring: Wiring, *, port: int | None = None, first: str = "") -> None:
        """`first`: Python that its process runs before the gateway."""
        self.folder = folder.absolute()
        self._first = first
        self.wiring = wiring
        self.port = port or free_port()
        self.config = self.folder / "crossband.toml"
        self.log = self.folder / "gateway.log"
        self._socket = self.folder / "run" / "control.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its API and console."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.kill9()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    def write_config(self) -> Path:
        """Write ``crossband.toml`` and the access token; return the former's path."""
        secrets_dir = self.folder / "secrets"
        secrets_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        token = secrets_dir / "matrix.token"
        token.touch(mode=0o600)
        token.write_text(self.wiring.access_token + "\n")
        self.config.write_text(_toml(self.wiring, self.folder, self.port))
        return self.config

    async def start(self, *, until: str = "up", timeout_s: float = 30.0) -> None:
        """Start it and wait until it is ``ready`` to accept messages or all its bridges are ``up``; BoxFailed."""
        if self.pid is not None:
            return
        if not self.config.exists():
            self.write_config()
        self._spawn()
        await self.wait_until(self.is_up if until == "up" else self.is_ready, timeout_s=timeout_s)

    async def wait_until(self, there: Callable[[], Any], *, timeout_s: float = 30.0) -> None:
        """Ask `there` until it says yes; BoxFailed after `timeout_s`, or when the gateway ends."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await there():
                    self._check_alive()
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError as late:
            raise BoxFailed(f"not there within {timeout_s:g} s\n{self.log_tail()}") from late

    async def is_ready(self) -> bool:
        """Whether it accepts messages."""
        try:
            return (await self.ask("GET", "/readyz")).status == _OK
        except OSError:
            return False

    async def is_up(self) -> bool:
        """Whether it accepts messages and all its bridges are connected."""
        if not await self.is_ready():
            return False
        try:
            return all(bridge["state"] == "up" for bridge in (await self.ask("GET", "/api/v1/bridges")).json())
        except OSError:
            return False

    async def stop(self, *, timeout_s: float = 20.0) -> int | None:
        """Ask it to end; return its exit code (None: it wasn't running). After `timeout_s` it is killed."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return await asyncio.to_thread(process.wait, timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return await asyncio.to_thread(process.wait)

    async def kill9(self) -> None:
        """End it at once, as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait)

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = 10.0
    ) -> Answer:
        """Ask it over its control socket; OSError if it doesn't answer."""
        return await ask(self._socket, method, path, body=body, timeout_s=timeout_s)

    async def status(self) -> dict[str, Any]:
        """Return what ``GET /api/v1/status`` says."""
        return dict((await self.ask("GET", "/api/v1/status")).json())

    def log_tail(self, max_bytes: int = 6_000) -> str:
        """Return the end of what it wrote."""
        try:
            return self.log.read_bytes()[-max_bytes:].decode(errors="replace")
        except OSError:
            return ""

    def _check_alive(self) -> None:
        if self._process is not None and (code := self._process.poll()) is not None:
            raise BoxFailed(f"the gateway ended with {code}\n{self.log_tail()}")

    def _spawn(self) -> None:
        # -P: modules come from where they are installed, not from the working directory.
        launch = self._first + _LAUNCH
        command = [sys.executable, "-P", "-c", launch, str(os.getpid()), "run", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops it in order
            )


def _environment() -> dict[str, str]:
    """Return ours without what would override its configuration or make it think it is a service."""
    unwanted = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY", "RUNTIME_DIRECTORY"}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in unwanted and not (name.startswith("CROSSBAND_") and "__" in name)
    }


def _toml(wiring: Wiring, folder: Path, port: int) -> str:
    # JSON's strings are TOML's.
    text = {
        "name": wiring.name,
        "data": str(folder / "data"),
        "run": str(folder / "run"),
        "homeserver": wiring.homeserver,
        "user": wiring.user_id,
        "room": f"home/{wiring.room}",
        "radio": wiring.radio,
        "channel": f"radio/{wiring.channel}",
        "listen": f"{LOOPBACK}:{port}",
    }
    said = {key: json.dumps(value) for key, value in text.items()}
    permissions = "\n".join(f"{json.dumps(who)} = {json.dumps(may)}" for who, may in wiring.permissions.items())
    return _TEMPLATE.format(**said, permissions=permissions, more=wiring.more, **_more_of(wiring))


def _more_of(wiring: Wiring) -> dict[str, str]:
    return {f"more_{bridge}": wiring.tables.get(bridge, "") for bridge in ("home", "radio")}


_TEMPLATE = """\
[gateway]
name = {name}
data_dir = {data}
run_dir = {run}

[queue]
url = "embedded"

[api]
listen = {listen}

[bridges.home]
kind = "matrix"
homeserver = {homeserver}
user_id = {user}
access_token_file = "secrets/matrix.token"
{more_home}

[bridges.radio]
kind = "meshtastic"
connection = {radio}
airtime_share = "100%"   # nobody else is on a simulated channel, and an hour of it may take minutes
direct = {room}
{more_radio}

[[routes]]
name = "town"
join = [{room}, {channel}]

[permissions]
{permissions}

{more}
"""
