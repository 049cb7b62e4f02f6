# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Valkey servers as tests want them: alone, replicated under Sentinels, as a Cluster. On loopback ports.

Missing a binary here tests skip, missing in CI they fail.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import redis

from bridges.sim.loopback import free_port
from gateway.model import StoreRefused
from gateway.outbox.binary import find_binary

BOUND = (
    "--bind",
    "127.0.0.1",
    "--save",
    "",
    "--appendonly",
    "no",
    "--protected-mode",
    "no",
    "--repl-diskless-sync-delay",
    "0",
)
FAILS_OVER_MS = 1500


class Server:
    """One server process in a directory of its own."""

    def __init__(self, folder: Path, *options: str, password: str | None = None, port: int | None = None) -> None:
        self.port = port or free_port()
        self.folder = folder / str(self.port)
        self.folder.mkdir(parents=True)
        self._password = password
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> Self:
        try:
            binary = find_binary(None)
        except StoreRefused as refusal:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(refusal))
        command = [str(binary), *self._arguments()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        until(self._answers)
        return self

    def _arguments(self) -> list[str]:
        secret = () if self._password is None else ("--requirepass", self._password)
        return ["--port", str(self.port), *BOUND, *secret, *self._options]

    def _answers(self) -> bool:
        try:
            self("PING")
        except redis.ConnectionError as error:
            return "LOADING" in str(error)
        except redis.ResponseError:
            return True
        return True

    def __call__(self, *command: str | int) -> Any:
        """Say a command to it."""
        client = redis.Redis(port=self.port, password=self._password, decode_responses=True, socket_timeout=5)
        try:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]
        finally:
            client.close()

    def knows(self, password: str | None) -> None:
        """Say its password from now on."""
        self._password = password

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill9(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


class Sentinel(Server):
    """Watches one primary under the name `main`."""

    def __init__(self, folder: Path, primary: Server, *, quorum: int) -> None:
        super().__init__(folder)
        self._file = self.folder / "sentinel.conf"
        self._file.write_text(
            f"port {self.port}\nbind 127.0.0.1\nprotected-mode no\ndir {self.folder}\n"
            f"sentinel monitor main 127.0.0.1 {primary.port} {quorum}\n"
            f"sentinel down-after-milliseconds main {FAILS_OVER_MS}\n"
            "sentinel failover-timeout main 4000\n"
        )

    def _arguments(self) -> list[str]:
        return [str(self._file), "--sentinel"]


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Start servers; kill them all in the end."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in servers:
            server.kill9()


class Node(Server):
    """One of a Cluster."""

    def __init__(self, folder: Path) -> None:
        self.bus = free_port()
        cluster_options = {
            "enabled": "yes",
            "node-timeout": "2000",
            "port": str(self.bus),
            "replica-validity-factor": "0",
        }
        super().__init__(
            folder, *(word for key, value in cluster_options.items() for word in (f"--cluster-{key}", value))
        )


@contextmanager
def cluster(folder: Path, *, replicas: bool = False) -> Iterator[list[Node]]:
    """Three primaries, and if wanted a replica of each after them."""
    nodes = [Node(folder) for _ in range(6 if replicas else 3)]
    with running(*nodes):
        for nth, node in enumerate(nodes[:3]):
            node("CLUSTER", "ADDSLOTSRANGE", nth * 5461, 16383 if nth == 2 else nth * 5461 + 5460)
            node("CLUSTER", "SET-CONFIG-EPOCH", nth + 1)
        for node in nodes[1:]:
            node("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].bus)
        known = str(len(nodes))
        until(lambda: all(cluster_info(one)["known_nodes"] == known for one in nodes))
        for primary, replica in zip(nodes[:3], nodes[3:], strict=False):
            replica("CLUSTER", "REPLICATE", primary("CLUSTER", "MYID"))
        until(lambda: all(state(one) == "ok" for one in nodes))
        yield nodes


def cluster_info(server: Server) -> dict[str, str]:
    """What a node knows of its cluster."""
    lines = str(server("CLUSTER", "INFO")).split()
    return {name.removeprefix("cluster_"): value for name, _, value in (line.partition(":") for line in lines)}


def state(server: Server) -> str:
    """What a node thinks of its cluster: ok, fail."""
    return cluster_info(server)["state"]


def until(condition: Callable[[], object], *, within_s: float = 20.0) -> None:
    """Wait for something."""
    ends = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends, f"not within {within_s} s"
        time.sleep(0.02)
