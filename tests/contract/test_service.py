# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.service as a process: why it can't start, how it stops, what it says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Self
from unittest.mock import ANY

import pytest

from gateway import service
from gateway.config import load
from gateway.control import Control, NotRunning
from gateway.model import BridgeContext, BridgeKind, Capabilities, Message, Receipt, StoreRefused
from gateway.outbox.binary import find_binary
from gateway.registry import Registry

CHILD = "tests.contract.stubborn_child"
CONFIG = """\
[gateway]
name = "hilltop"
data_dir = "data"
{gateway}
[api]
listen = "127.0.0.1:{port}"
{more}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: it holds sockets."""
    with tempfile.TemporaryDirectory(prefix="cb-") as folder:
        yield Path(folder)


def _config(folder: Path, *, port: int = 0, gateway: str = "", more: str = "") -> Path:
    path = folder / "crossband.toml"
    path.write_text(CONFIG.format(port=port, gateway=gateway, more=more))
    return path


def _run(config: Path) -> tuple[int, str]:
    """Run a gateway that can't start; return its exit code and all it said."""
    command = [sys.executable, "-m", "gateway", "--config", str(config), "run", "--log-format", "journal"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


def _one_line(said: str) -> str:
    (line,) = [one for one in said.splitlines() if not one.startswith("<6>")]
    return line


def test_a_taken_port_is_one_line_and_exit_1(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = _run(_config(folder, port=taken.getsockname()[1]))

    assert code == 1
    assert "gateway_cannot_run" in _one_line(said)
    assert "Address already in use. Stop the program that is there, or name another port in [api] listen" in said


@pytest.mark.parametrize("where", ["data", "data/lock", "data/bridges", "data/journal.db"])
def test_a_data_directory_that_cannot_be_used_is_one_line_and_exit_1(folder: Path, where: str) -> None:
    """A file where a directory is needed, or the other way round; being root, we can't be refused a right."""
    path = folder / where
    path.parent.mkdir(exist_ok=True)
    if where in {"data", "data/bridges"}:
        path.write_text("")
    else:
        path.mkdir()
    more = '[bridges.radio]\nkind = "meshtastic"\nconnection = "tcp:127.0.0.1:1"\n'

    code, said = _run(_config(folder, more=more))

    assert code == 1
    assert "gateway_cannot_run" in _one_line(said)
    assert str(path) in said or "journal can't be used" in said


def test_a_run_directory_that_cannot_be_used_is_one_line_and_exit_1(folder: Path) -> None:
    (folder / "file").write_text("")

    code, said = _run(_config(folder, gateway='run_dir = "file/run"'))

    assert code == 1
    assert "gateway_cannot_run" in _one_line(said)
    assert "or name another in [gateway] run_dir" in said


@pytest.mark.parametrize(
    "url", ["redis+sentinel://:secret@a:1,b:2", "redis+cluster://:secret@a:1/0", "http://:secret@a"]
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_queue_that_makes_no_sense_is_refused_with_the_line_and_exit_2(folder: Path, url: str, command: str) -> None:
    config = _config(folder, more=f'[queue]\nurl = "{url}"')
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "--config", str(config), command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    assert re.search(r"crossband.toml:8: queue.url: [^.]+\. (Write|Leave out) ", ended.stderr)
    assert "secret" not in ended.stderr


@contextlib.asynccontextmanager
async def _running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stderr=asyncio.subprocess.PIPE, env=os.environ | {"NO_COLOR": "1"}
    )
    try:
        async with asyncio.timeout(60):
            yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def _until(process: asyncio.subprocess.Process, event: str) -> None:
    assert process.stderr is not None
    while event.encode() not in (line := await process.stderr.readline()):
        assert line, "it ended"


async def test_a_task_that_ignores_the_stop_is_named_and_the_process_ends(folder: Path) -> None:
    stubborn = '[bridges.sea]\nkind = "stubborn"\n'
    async with _running("-m", CHILD, str(_config(folder, more=stubborn))) as process:
        await _until(process, "gateway_ready")
        process.send_signal(signal.SIGTERM)
        _, rest = await process.communicate()

    cut = next(found for found in map(json.loads, rest.splitlines()) if found["event"] == "stop_cut_off")
    assert cut["hanging"] == ["supervise sea"]
    assert process.returncode == 1


async def test_the_status_names_the_queues_engine_and_a_stop_is_clean(folder: Path) -> None:
    try:
        find_binary(None)
    except StoreRefused as refusal:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(refusal))
    async with _running("-m", "gateway", "--config", str(_config(folder)), "run") as process:
        await _until(process, "gateway_ready")
        control = Control(folder / "data" / "run" / "control.sock")
        while (status := await asyncio.to_thread(_status, control))["queue"]["state"] != "up":
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        await process.communicate()

    assert re.fullmatch(r"(valkey|redis) \d+\.\d+\S* \(embedded\)", status["queue"]["engine"])
    assert process.returncode == 0


async def test_a_gateway_killed_in_an_outage_goes_on_with_it_and_says_that_it_was_away_itself(folder: Path) -> None:
    more = '[queue]\nurl = "unix://nothing"\n[bridges.radio]\nkind = "meshtastic"\nconnection = "tcp:127.0.0.1:1"\n'
    command = ("-m", "gateway", "--config", str(_config(folder, more=more)), "run")
    control = Control(folder / "data" / "run" / "control.sock")
    async with _running(*command) as process:
        await _until(process, "gateway_ready")
        before = await _outages(control, lambda rows: rows)
        process.kill()
        await process.communicate()
    async with _running(*command) as process:
        await _until(process, "gateway_ready")
        after = await _outages(control, lambda rows: len(rows) > 1)

    (radio,) = [one for one in before if one["name"] == "radio"]
    assert radio["ended_ms"] is None
    assert [one for one in after if one["name"] == "radio"] == [radio | {"counted_ms": ANY}]
    (gateway,) = [one for one in after if one["kind"] == "gateway"]
    assert gateway["reason"] == "it was killed, crashed or lost power"
    assert gateway["ended_ms"] >= gateway["began_ms"]


async def _outages(control: Control, enough: Callable[[list[dict[str, Any]]], Any]) -> list[dict[str, Any]]:
    while True:
        with contextlib.suppress(NotRunning):
            found: list[dict[str, Any]] = (await asyncio.to_thread(control.get, "/outages"))["outages"]
            if enough(found):
                return found
        await asyncio.sleep(0.05)


def _status(control: Control) -> dict[str, dict[str, str]]:
    try:
        found: dict[str, dict[str, str]] = control.get("/status")
    except NotRunning:
        return {"queue": {"state": ""}}
    return found


class DyingBridge:
    """A bridge with a defect in its receiving, which no one may hide."""

    def __init__(self, context: BridgeContext) -> None:
        self.name = context.name
        self.capabilities = Capabilities(room_for=lambda *_: 100)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def receive(self) -> AsyncGenerator[Message]:
        raise ZeroDivisionError
        yield

    async def send(self, *_: object, **__: object) -> Receipt:
        raise AssertionError


def test_a_gateway_whose_task_dies_ends_with_an_error(folder: Path) -> None:
    kind = BridgeKind(create=DyingBridge, check=lambda _: frozenset())
    registry = Registry({"dying": lambda: kind})
    config = _config(folder, more='[bridges.one]\nkind = "dying"\n')

    assert service.run(load(config, {}, registry=registry), registry=registry) == 1
