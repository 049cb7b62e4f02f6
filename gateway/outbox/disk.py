# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk under the embedded server: whether it was that, and how long to leave the server alone then."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()

_LEAST_FREE_BYTES: Final = 16 * 1024 * 1024
_PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
_LOOK_EVERY_S: Final = 0.5


class Disk:
    """The disk a directory is on."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._faults = 0
        """How often in a row it was the disk."""

    def fault(self, said: str, *, is_sure: bool) -> str:
        """Return what is wrong with it, empty if nothing is.

        `said`: what the server said of it. `is_sure`: that something else ended it, if it said nothing.
        """
        fault = said or ("it is full" if self._is_full() and not is_sure else "")
        if not fault:
            self._faults = 0
        return fault

    async def wait(self, fault: str) -> None:
        """Wait until a full disk has room, at most a little longer each time: it may be small, and room enough."""
        if not self._faults:
            log.error("embedded_server_disk", directory=str(self._directory), reason=fault)
        until_s = time.monotonic() + _PAUSES_S[min(self._faults, len(_PAUSES_S) - 1)]
        self._faults += 1
        was_full = self._is_full()
        while time.monotonic() < until_s:
            if was_full and not self._is_full():
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    def _is_full(self) -> bool:
        return shutil.disk_usage(self._directory).free < _LEAST_FREE_BYTES
