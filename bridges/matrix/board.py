# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway shows in rooms at the moment, kept in a file: which reactions stand, what was said."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from bridges.matrix.login import keep, read_kept
from bridges.matrix.plain import valid_id
from bridges.matrix.progress import Standing
from bridges.matrix.wire import mapping, sequence, text
from gateway.model import RemoteId

MOST_MARKS = 500
"""Messages with a reaction of ours that are remembered; an older one keeps the reaction it has."""
MOST_TOLD = 1_000
"""Failures that are not told again; an older one could be, were its news told again."""


class Board:
    """Remembers across restarts: a waiting message's mark must go when it is through."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.marks: OrderedDict[RemoteId, Standing] = OrderedDict()
        self.told: OrderedDict[str, None] = OrderedDict()
        self._is_read = False

    async def read(self) -> None:
        """Read the file, once; one that isn't there or can't be read is an empty board."""
        if self._is_read:
            return
        self._is_read = True
        kept = await asyncio.to_thread(read_kept, self._file)
        for target, standing in mapping(kept.get("marks")).items():
            if valid_id(target, "$") and (emoji := text(mapping(standing).get("emoji"))):
                reaction = mapping(standing).get("reaction")
                found = Standing(emoji=emoji, reaction=reaction if isinstance(reaction, str) else None)
                self.marks[RemoteId(target)] = found
        self.told.update(dict.fromkeys(filter(None, map(text, sequence(kept.get("told"))))))

    async def mark(self, target: RemoteId, standing: Standing | None) -> None:
        """Note which reaction stands at a message; None: none does."""
        self.marks.pop(target, None)
        if standing is not None:
            self.marks[target] = standing
        if len(self.marks) > MOST_MARKS:
            self.marks.popitem(last=False)
        await self._keep()

    async def tell(self, about: Iterable[str]) -> None:
        """Note that these were told."""
        self.told.update(dict.fromkeys(about))
        while len(self.told) > MOST_TOLD:
            self.told.popitem(last=False)
        await self._keep()

    async def _keep(self) -> None:
        marks = {target: {"emoji": one.emoji, "reaction": one.reaction} for target, one in self.marks.items()}
        # In a thread: a slow disk must not hold up everything else.
        await asyncio.to_thread(keep, self._file, json.dumps({"marks": marks, "told": list(self.told)}))
