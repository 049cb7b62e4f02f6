# SPDX-License-Identifier: GPL-3.0-or-later
"""What power cuts and bad storage do to an append-only file while nobody has it open. Files only."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOST_CUT_BYTES = 64 * 1024
BLOCK_BYTES = 4096
REMEMBER_EVERY_S = 3.0


@dataclass(slots=True)
class QueueFiles:
    """The embedded server's files below the gateway's data directory."""

    data_dir: Path
    older: tuple[str, int] | None = None
    """Name and length of the last increment as they once were."""

    @property
    def folder(self) -> Path | None:
        """Where the set is, once there is one."""
        return next(iter(self.data_dir.glob("queue/*/appendonlydir")), None)

    def increment(self) -> Path | None:
        """Return the file that is appended to, as its manifest names it."""
        folder = self.folder
        manifest = folder / "appendonly.aof.manifest" if folder else None
        if folder is None or manifest is None or not manifest.exists():
            return None  # emptied, and killed before it was made anew
        names = [line.split()[1] for line in manifest.read_text().splitlines() if line.endswith(" type i")]
        return folder / names[-1] if names else None

    def remember(self) -> None:
        """Note how long the increment is now: `lose_tail` goes back to that."""
        file = self.increment()
        if file is not None and file.exists():
            self.older = (file.name, file.stat().st_size)

    def cut_tail(self, chance: random.Random) -> str:
        """Cut the file short, anywhere."""
        return self._shorten(lambda size: size - chance.randint(1, min(size, MOST_CUT_BYTES)))

    def lose_tail(self, _chance: random.Random) -> str:
        """Restore the file as it was when it was last remembered: seconds of acknowledged writes are gone."""
        older = self.older
        file = self.increment()
        if older is None or file is None or file.name != older[0]:
            return "nothing to go back to"
        return self._shorten(lambda size: min(size, older[1]))

    def zeros(self, chance: random.Random) -> str:
        """Turn the end into zeros, in whole blocks: what ext4 shows after a power cut."""
        blocks = chance.randint(1, 4)
        self.cut_tail(chance)
        return self._append(bytes(blocks * BLOCK_BYTES), "zeros")

    def garbage(self, chance: random.Random) -> str:
        """Put the old content of some block at the end."""
        return self._append(chance.randbytes(chance.randint(1, 2 * BLOCK_BYTES)), "bytes of garbage")

    def empty(self, _chance: random.Random) -> str:
        """Put an empty data set in the place of this one."""
        folder = self.folder
        if folder is None:
            return "nothing to empty"
        shutil.rmtree(folder)
        return "the whole set is gone"

    def _shorten(self, to: Callable[[int], int]) -> str:
        file = self.increment()
        if file is None or not file.exists() or file.stat().st_size == 0:
            return "nothing to cut"
        size = file.stat().st_size
        length = to(size)
        os.truncate(file, length)
        return f"{size - length} of {size} bytes cut off"

    def _append(self, data: bytes, what: str) -> str:
        file = self.increment()
        if file is None or not file.exists():
            return "nothing to append to"
        with file.open("ab") as end:
            end.write(data)
        return f"{len(data)} {what} at the end"


async def keep_remembering(files: QueueFiles) -> None:
    """Note every few seconds how long the increment is, for ever."""
    while True:
        await asyncio.sleep(REMEMBER_EVERY_S)
        with suppress(OSError):  # it is being rewritten, or not there yet
            files.remember()
