# SPDX-License-Identifier: GPL-3.0-or-later
"""Room on the disk that is given away when there is none left: what frees a full disk must be written, too.

Receipts, retention and the copying of SQLite's log into its database all need some. Without a reserve
a full disk would keep the journal from everything that could make it smaller.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 16 * 1024 * 1024
"""What SQLite's log may hold before it is copied into the database, which may grow by as much then."""
OF_THE_DISK: Final = 16
"""A small disk's reserve is this part of it."""


def size_on(folder: Path) -> int:
    """Return how many bytes are kept in reserve on the disk of this folder."""
    disk = os.statvfs(folder)
    return min(MOST_BYTES, disk.f_blocks * disk.f_frsize // OF_THE_DISK)


class Reserve:
    """A file of nothing beside the journal. Knows no threads; works on the writer's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_held = False

    def hold(self) -> bool:
        """Take the room (again), where as much is left besides; return whether it is held."""
        if not self.is_held:
            try:
                self.is_held = self._take()
            except OSError:
                self._path.unlink(missing_ok=True)
        return self.is_held

    def release(self) -> bool:
        """Give the room away; False if there was none to give."""
        self.is_held = False
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def _take(self) -> bool:
        disk, size = os.statvfs(self._path.parent), size_on(self._path.parent)
        there = self._path.stat().st_size if self._path.exists() else 0
        if disk.f_bavail * disk.f_frsize + there < 2 * size:
            return False
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, size)
        finally:
            os.close(file)
        return True
