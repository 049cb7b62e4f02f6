# SPDX-License-Identifier: GPL-3.0-or-later
"""Which box logged a message first, and where that was said: as far back as anybody still may have it to say. Pure."""

from __future__ import annotations

from collections import OrderedDict

from bridges.lan.chorus import Beginning
from bridges.lan.entries import Said
from bridges.lan.event import BoxId
from gateway.model import NativeId

MOST_KEPT = 20_000
"""Past it the oldest is forgotten: then any box may be the first to say it."""


class Beginnings:
    """What is known of them. Bounded."""

    def __init__(self, *, most: int = MOST_KEPT) -> None:
        self._most = most
        self._by_native: OrderedDict[NativeId, Beginning] = OrderedDict()

    def learn(self, box: BoxId, said: Said) -> None:
        """Take an entry. The first of a message counts: in a second room, or from a second box, it is the same one."""
        if said.native in self._by_native:
            return
        self._by_native[said.native] = Beginning(box=box, said_in=said.said_in)
        if len(self._by_native) > self._most:
            self._by_native.popitem(last=False)

    def of(self, native_id: NativeId) -> Beginning | None:
        """Return where a message began; None: no box logged it, or that is long ago."""
        return self._by_native.get(native_id)
