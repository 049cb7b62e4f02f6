# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded server's own log: kept short, and asked why it wouldn't start."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_LARGEST_BYTES: Final = 1024 * 1024

# What servers log when their own files keep them from starting; the exit code doesn't tell.
_LOAD_ERRORS: Final = (
    b"reading the append only file",
    b"format reading",
    b"loading the DB",
    b"Wrong signature",
    b"RDB format",
    b"Internal error in RDB",
    b"manifest",
    b"AOF loading aborted",
    b"loading the append only file",
    b"CRC error",
    b"checksum",
    b"corrupt",
)


# The same for the disk under them: then there is nothing wrong with the files.
_DISK_ERRORS: Final = (
    b"No space left on device",
    b"Disk quota exceeded",
    b"Read-only file system",
    b"Input/output error",
)


class ServerLog:
    """One log file, over many starts of the server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begins = 0

    def begin(self) -> None:
        """Remember that what is said from here on is about the next start. Keeps one older log at most."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size > _LARGEST_BYTES:
            self.path.replace(self.path.with_suffix(".log.1"))
            size = 0
        self._begins = size

    def says_load_error(self) -> bool:
        """Whether this start failed for the sake of the server's own files."""
        return any(words in self._said() for words in _LOAD_ERRORS)

    def disk_error(self) -> str:
        """Return what this start said of the disk, in the system's words; empty if nothing."""
        said = self._said()
        return next((words.decode() for words in _DISK_ERRORS if words in said), "")

    def _said(self) -> bytes:
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._begins)
                return stream.read(_LARGEST_BYTES)
        except OSError:
            return b""
