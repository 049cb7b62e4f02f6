# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad disks and bad clocks, for tests: without the rights or a compiler these skip, in CI they fail."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shim.c")


def cannot(reason: str) -> None:
    """Skip on a laptop, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own, of a size like ``8m``."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        cannot("a small disk can't be mounted here: that takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    """Change it: ``ro``, ``rw``, ``size=8m``."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def fill_up(folder: Path) -> Path:
    """Let somebody else take all that is left; return the file to delete."""
    filler = folder / "somebody-elses"
    with filler.open("wb") as file:
        size = 1024 * 1024
        while size >= 512:
            try:
                os.write(file.fileno(), bytes(size))
            except OSError:
                size //= 2
    return filler


def shim_in(folder: Path) -> Path:
    """Build what stands between a process and its disk and clock."""
    library = folder / "shim.so"
    if library.exists():
        return library
    if shutil.which("cc") is None:
        cannot("no C compiler for a bad disk or clock")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


def write_at_once(path: Path, words: str) -> None:
    """Write a file that somebody may be reading."""
    fresh = path.with_suffix(".new")
    fresh.write_text(words)
    fresh.replace(path)


class BadDisk:
    """A disk that is good until it is told otherwise, for processes started with `environment`."""

    def __init__(self, folder: Path, path: str) -> None:
        """`path`: what the path of a file has in it that is on this disk."""
        self._control = folder / "disk_is"
        shim = {"DISK_SHIM_PATH": path, "DISK_SHIM_CONTROL": str(self._control)}
        self.environment = {**os.environ, "LD_PRELOAD": str(shim_in(folder)), **shim}

    def takes(self, ms: int) -> None:
        """Let each sync take so long."""
        write_at_once(self._control, f"slow {ms}")

    def refuses(self, errno: int) -> None:
        """Let each write fail."""
        write_at_once(self._control, f"errno {errno}")

    def is_good(self) -> None:
        """Let it be a good one again."""
        self._control.unlink(missing_ok=True)


class BadClock:
    """A wall clock that shows what it is told, for processes started with `environment`."""

    def __init__(self, folder: Path) -> None:
        self._control = folder / "clock_is"
        self.environment = {
            **os.environ,
            "LD_PRELOAD": str(shim_in(folder)),
            "CLOCK_SHIM_CONTROL": str(self._control),
        }

    def is_ahead(self, seconds: float) -> None:
        """Let it be so far ahead, or behind."""
        write_at_once(self._control, f"ahead {round(seconds)}")
