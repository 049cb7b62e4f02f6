# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ghosts there are, and how they look, kept in a file.

Lost, it costs asking the homeserver again: registering who is registered changes nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from bridges.matrix.login import keep, read_kept
from bridges.matrix.wire import mapping, text

MOST_GHOSTS = 5_000
"""Of which it is remembered; one that spoke longer ago is asked about anew."""
SAVE_EVERY_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What we know of one ghost."""

    device_id: str = ""
    """Empty: the homeserver gives none."""
    name: str = ""
    named_ms: int = 0
    avatar: str = ""
    """The style of the picture we gave it; ``-``: it has one of another origin. Empty: none yet."""


class Registry:
    """Ghosts by localpart, the last `MOST_GHOSTS` that spoke."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._is_read = self._is_changed = False
        self._saved_at: float | None = None

    def __len__(self) -> int:
        return len(self._records)

    async def read(self) -> None:
        """Read the file, once; one that isn't there or can't be read is an empty registry."""
        if self._is_read:
            return
        self._is_read = True
        kept = await asyncio.to_thread(read_kept, self._file)
        for localpart, record in mapping(kept.get("ghosts")).items():
            known = mapping(record)
            named_ms = known.get("named_ms")
            self._records[localpart] = Record(
                device_id=text(known.get("device_id")),
                name=text(known.get("name")),
                named_ms=named_ms if isinstance(named_ms, int) else 0,
                avatar=text(known.get("avatar")),
            )

    def get(self, localpart: str) -> Record | None:
        """Return what is known of the ghost, which has just been used."""
        if localpart in self._records:
            self._records.move_to_end(localpart)
        return self._records.get(localpart)

    def put(self, localpart: str, record: Record) -> None:
        """Note how the ghost is now."""
        self._records[localpart] = record
        self._records.move_to_end(localpart)
        self._is_changed = True
        while len(self._records) > MOST_GHOSTS:
            self._records.popitem(last=False)

    def forget(self, localpart: str) -> None:
        """Ask about the ghost anew."""
        self._is_changed |= self._records.pop(localpart, None) is not None

    async def save(self, now_s: float | None = None) -> None:
        """Write the file if there is news; with `now_s` at most every `SAVE_EVERY_S`."""
        if not self._is_changed or (
            now_s is not None and self._saved_at is not None and now_s - self._saved_at < SAVE_EVERY_S
        ):
            return
        self._is_changed, self._saved_at = False, now_s if now_s is not None else self._saved_at
        ghosts = {
            localpart: {"device_id": one.device_id, "name": one.name, "named_ms": one.named_ms, "avatar": one.avatar}
            for localpart, one in self._records.items()
        }
        # In a thread: a slow disk must not hold up everything else.
        await asyncio.to_thread(keep, self._file, json.dumps({"ghosts": ghosts}))
