# SPDX-License-Identifier: GPL-3.0-or-later
"""A small disk of our own, to fill: a tmpfs. As root only."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

STEP_BYTES = 1024 * 1024
BLOCK_BYTES = 4096
NAME = "crossband-chaos"


def why_not() -> str:
    """Return why there can be no such disk here; empty if there can."""
    return "" if os.geteuid() == 0 else "needs root, for a small tmpfs"


def unmount_below(folder: Path) -> None:
    """Unmount what a run that was killed has left there."""
    for line in Path("/proc/mounts").read_text().splitlines():
        place = Path(line.split()[1])
        if line.startswith(NAME) and place.is_relative_to(folder):
            subprocess.run(["umount", "--lazy", place], check=False)


class SmallDisk:
    """``with SmallDisk(path, mib=256)``: mounted while open."""

    def __init__(self, path: Path, *, mib: int) -> None:
        self.path = path
        self._mib = mib
        self._ballast = path / "ballast"

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        options = f"size={self._mib}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, NAME, self.path], check=True)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "--lazy", self.path], check=False)

    def fill(self) -> None:
        """Take the last block."""
        with self._ballast.open("ab") as file:
            for step in (STEP_BYTES, BLOCK_BYTES):
                while _grow(file.fileno(), step):
                    pass

    def free(self) -> None:
        """Give it all back."""
        self._ballast.unlink(missing_ok=True)


def _grow(descriptor: int, size: int) -> bool:
    end = os.fstat(descriptor).st_size
    try:
        os.posix_fallocate(descriptor, end, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True
