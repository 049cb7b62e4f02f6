# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded server's files: whose they are, and what to do when they are damaged.

Nothing here is ever deleted: what can't be loaded is moved aside, and the journal fills the queue again.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.model import StoreRefused
from gateway.outbox.aof import last_increment, sound_length
from gateway.outbox.redis_server import Engine, parse_version

MOST_CUT_BYTES: Final = 8 * 1024 * 1024
"""A damaged tail longer than this isn't cut: that is no tail any more."""

_SET = "appendonlydir"
_MANIFEST = "appendonly.aof.manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """A file was cut to its sound length; what it was before is in `backup`."""

    file: Path
    cut_bytes: int
    backup: Path


@dataclass(frozen=True, slots=True)
class Dataset:
    """One engine's files below the embedded server's directory."""

    directory: Path
    engine: Engine

    @property
    def files(self) -> Path:
        """The folder the server works in, the engine's own."""
        return self.directory / self.engine.name

    @property
    def _stamp(self) -> Path:
        return self.directory / "engine.json"

    def refuse_foreign(self) -> None:
        """Raise StoreRefused if another engine, or a newer version of this one, wrote what is here.

        Newer formats can't be read by older servers: going back is one-way, so nothing is tried.
        """
        wrote = self._read_stamp()
        if wrote is None or (wrote.name == self.engine.name and wrote.version <= self.engine.version):
            return
        raise StoreRefused(
            f"the queue in {self.directory} was written by {wrote}, and this is {self.engine}: install "
            f"{wrote} or newer, or move {self.directory} aside (what wasn't sent yet is in the journal)"
        )

    def stamp(self) -> None:
        """Write down that this engine has used these files."""
        text = json.dumps({"engine": self.engine.name, "version": ".".join(map(str, self.engine.version))})
        fresh = self._stamp.with_suffix(".new")
        fresh.write_text(text + "\n", encoding="utf-8")
        fresh.replace(self._stamp)

    def _read_stamp(self) -> Engine | None:
        try:
            fields = json.loads(self._stamp.read_text(encoding="utf-8"))
            return Engine(str(fields["engine"]), parse_version(str(fields["version"])))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreRefused(f"{self._stamp} can't be read: move {self.directory} aside") from error

    def mend_tail(self, *, now_s: int, most_cut_bytes: int = MOST_CUT_BYTES) -> Mended | None:
        """Cut the file that was last appended to where it stops making sense; None if there's nothing to cut.

        A backup is kept beside the set. StoreRefused if more than `most_cut_bytes` would go.
        """
        file = self._last_file()
        size = file.stat().st_size if file else 0
        if file is None or size == 0:
            return None
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            sound = sound_length(data)
        if sound == size:
            return None
        if size - sound > most_cut_bytes:
            raise StoreRefused(f"{file.name} makes no sense for its last {size - sound} bytes")
        backup = _unused(self.files / f"{file.name}.damaged-{now_s}")
        shutil.copy2(file, backup)
        with file.open("r+b") as damaged:
            damaged.truncate(sound)
            os.fsync(damaged.fileno())
        return Mended(file=file, cut_bytes=size - sound, backup=backup)

    def _last_file(self) -> Path | None:
        try:
            manifest = (self.files / _SET / _MANIFEST).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        name = last_increment(manifest)
        file = self.files / _SET / Path(name).name if name else None
        return file if file and file.is_file() else None

    def quarantine(self, *, now_s: int) -> Path | None:
        """Move the set aside, so that the server starts empty; return where it is now."""
        folder = self.files / _SET
        if not folder.exists():
            return None
        aside = _unused(self.files / f"{_SET}.quarantine-{now_s}")
        folder.rename(aside)
        return aside


def _unused(path: Path) -> Path:
    """Return the path, numbered if something is there already."""
    number, free = 1, path
    while free.exists():
        number, free = number + 1, path.with_name(f"{path.name}-{number}")
    return free
