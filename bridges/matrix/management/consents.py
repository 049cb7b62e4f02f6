# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted rooms that people with the say there let be bridged, in a chat and twice."""

from __future__ import annotations

import json
from pathlib import Path

from bridges.matrix.login import read_kept, write_secret
from bridges.matrix.wire import mapping, text
from gateway.model import Declined

MOST = 1_000
"""One more is declined, in words."""


class Consents:
    """Kept in a file beside the route that the journal keeps: either lost, nothing of the room is carried."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._given: dict[str, str] | None = None

    def has(self, room_id: str) -> bool:
        """Whether it was given for this room."""
        return room_id in self._known()

    def give(self, room_id: str, by: str) -> None:
        """Keep it, on the disk when this returns; Declined if it can't be kept."""
        known = self._known()
        if room_id not in known and len(known) >= MOST:
            raise Declined(f"{MOST:,} encrypted rooms are bridged already")
        self._write(known | {room_id: by})

    def take_back(self, room_id: str) -> None:
        """Let the room be closed again; Declined if that can't be written: it holds until a restart."""
        if self.has(room_id):
            self._write({room: by for room, by in self._known().items() if room != room_id})

    def _write(self, given: dict[str, str]) -> None:
        shrinks = len(given) < len(self._known())
        if shrinks:
            self._given = given
        try:
            write_secret(self._file, json.dumps({"encrypted": given}))
        except OSError as error:
            raise Declined(f"the gateway can't write it down: {error.strerror}") from error
        self._given = given

    def _known(self) -> dict[str, str]:
        if self._given is None:
            kept = mapping(read_kept(self._file).get("encrypted"))
            self._given = {room_id: text(by) for room_id, by in kept.items()}
        return self._given
