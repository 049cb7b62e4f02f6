# SPDX-License-Identifier: GPL-3.0-or-later
"""Small disks, full ones and bad ones, for tests: without the rights or a compiler they skip, in CI they fail."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("disk_shim.c")


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


class BadDisk:
    """A disk that is good until it is told otherwise, for processes started with `environment`."""

    def __init__(self, folder: Path, path: str) -> None:
        """`path`: what the path of a file has in it that is on this disk."""
        if shutil.which("cc") is None:
            cannot("no C compiler for the bad disk")
        library = folder / "disk_shim.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
        self._control = folder / "disk_is"
        shim = {"LD_PRELOAD": str(library), "DISK_SHIM_PATH": path, "DISK_SHIM_CONTROL": str(self._control)}
        self.environment = {**os.environ, **shim}

    def takes(self, ms: int) -> None:
        """Let each sync take so long."""
        self._say(f"slow {ms}")

    def refuses(self, errno: int) -> None:
        """Let each write fail."""
        self._say(f"errno {errno}")

    def is_good(self) -> None:
        """Let it be a good one again."""
        self._control.unlink(missing_ok=True)

    def _say(self, words: str) -> None:
        fresh = self._control.with_suffix(".new")
        fresh.write_text(words)
        fresh.replace(self._control)
