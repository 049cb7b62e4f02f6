# SPDX-License-Identifier: GPL-3.0-or-later
"""The mesh as the chorus sees it: also while it is closed, for the core speaks elsewhere all the same."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from bridges.lan.beginnings import Beginnings
from bridges.lan.chorus import Beginning
from bridges.lan.event import BoxId
from bridges.lan.membership import Roll
from bridges.lan.mesh import Mesh
from bridges.lan.presence import MOST_SERVED, MOST_SERVED_BYTES
from gateway.model import LinkDown, NativeId


class MeshLedger:
    """A `Ledger` on one mesh. Nobody is there while the mesh is closed."""

    def __init__(self, mesh: Mesh, count: Callable[[str], None]) -> None:
        self.beginnings = Beginnings()
        self.is_open = False
        self._mesh = mesh
        self._count = count
        self._box = BoxId("")
        self._served: frozenset[str] = frozenset()
        self._last: Roll | None = None

    def opened(self) -> None:
        """The mesh is open from now on."""
        self._box = self._mesh.box
        self.is_open = True
        self._mesh.serve(self._served)

    def closed(self) -> None:
        """The mesh is closed, or is about to be."""
        self._last = self.roll
        self.is_open = False

    @property
    def box(self) -> BoxId:
        """This box; empty until its log was open once: then no other is known either."""
        return self._box

    @property
    def roll(self) -> Roll | None:
        """Who belongs, while it is closed as it was last known; None if it was never open."""
        return self._mesh.roll if self.is_open else self._last

    def named(self, box: BoxId) -> str:
        """Return what people call a box."""
        member = None if self.roll is None else self.roll.boxes.get(box)
        return member.name if member is not None and member.name else box

    def belongs(self, box: BoxId) -> bool:
        """Whether it was let in, and not put out."""
        return self.roll is not None and self.roll.is_member(box)

    def serving(self) -> Mapping[BoxId, frozenset[str]]:
        """Return which other boxes are there, and what each serves."""
        if not self.is_open:
            return {}
        return {box: names for box, names in self._mesh.live().items() if box != self._box}

    def absent(self) -> Mapping[BoxId, frozenset[str]]:
        """Return which others were there today and aren't now, and what each served."""
        if not self.is_open:
            return {}
        there = self._mesh.live()
        return {box: names for box, names in self._mesh.lately().items() if box not in there}

    def serve(self, common_names: frozenset[str]) -> None:
        """Tell the others what this box serves: as much of it as they take."""
        self._served = frozenset(sorted(filter(_is_told, common_names))[:MOST_SERVED])
        if self._served != common_names:
            self._count("lan_serves_too_much")
        if self.is_open:
            self._mesh.serve(self._served)

    def beginning(self, native_id: NativeId) -> Beginning | None:
        """Return where a message began."""
        return self.beginnings.of(native_id)

    @property
    def is_behind(self) -> bool:
        """Whether other boxes have more to tell just now."""
        return self.is_open and self._mesh.exchange.is_behind()

    async def write(self, native: str, body: str) -> None:
        """Append durably, and push."""
        if not self.is_open:
            raise LinkDown("the log is closed")
        if not await self._mesh.append(native, body) and await self._mesh.logged_by(native) != self._box:
            # A stolen box foresaw the name, so that nobody should hear of what this one says.
            self._count("emission_forestalled")
            await self._mesh.append(f"{native}:{secrets.token_hex(8)}", body)


def _is_told(name: str) -> bool:
    return name.isprintable() and len(name.encode()) <= MOST_SERVED_BYTES
