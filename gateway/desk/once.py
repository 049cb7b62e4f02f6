# SPDX-License-Identifier: GPL-3.0-or-later
"""Which commands were carried out: one that comes again, after a crash, must not undo what came after it."""

from __future__ import annotations

import json
from typing import Final

import structlog

from gateway.journal import Journal
from gateway.model import JournalError, NativeId

log = structlog.get_logger()

MOST: Final = 200
"""Commands that are remembered: the last ones."""
NOTE: Final = "desk"


class Once:
    """Remembers the ids of commands that changed something, over restarts."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._ids: dict[NativeId, None] | None = None

    async def is_new(self, id: NativeId | None) -> bool:
        """Whether this command was not carried out yet. JournalError if that can't be known."""
        return id is None or id not in await self._known()

    async def done(self, id: NativeId | None) -> None:
        """Remember that it was. Never raises: what was done was done."""
        if id is None:
            return
        try:
            known = await self._known()
            known[id] = None
            while len(known) > MOST:
                del known[next(iter(known))]
            await self._journal.remember(NOTE, json.dumps(list(known)))
        except JournalError as error:
            log.warning("command_not_remembered", reason=str(error))

    async def _known(self) -> dict[NativeId, None]:
        if self._ids is None:
            kept = await self._journal.recalled(NOTE)
            found = dict.fromkeys(NativeId(str(one)) for one in _listed(kept))
            self._ids = found if self._ids is None else self._ids
        return self._ids


def _listed(kept: str) -> list[object]:
    try:
        read = json.loads(kept or "[]")
    except ValueError:
        read = None
    if isinstance(read, list):
        return read
    log.warning("commands_forgotten", reason="the note of those carried out can't be read")
    return []
