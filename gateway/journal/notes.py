# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that can wait a moment: most deliveries go through all their states in less, and are written once."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.journal.rows import ID, Row, merged


class Notes:
    """Changes nobody waits for, at most one a delivery. All on the event loop."""

    def __init__(self) -> None:
        self._held: dict[str, Row] = {}

    def __len__(self) -> int:
        """Return how many deliveries have one."""
        return len(self._held)

    def hold(self, rows: Sequence[Row]) -> list[Row]:
        """Keep changes; return, in their order, earlier ones that can't wait because another one followed."""
        overtaken = []
        for row in rows:
            before = self._held.get(row[ID])
            both = None if before is None else merged(before, row)
            if before is not None and both is None:
                overtaken.append(before)
            self._held[row[ID]] = row if both is None else both
        return overtaken

    def into(self, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        """Return these changes with what was kept of the same deliveries before them, in one where that can be.

        And what that was: whoever can't write the changes still owes it.
        """
        if not self._held:
            return list(rows), []
        out: list[Row] = []
        taken: list[Row] = []
        for row in rows:
            before = self._held.pop(row[ID], None)
            both = None if before is None else merged(before, row)
            if before is not None:
                taken.append(before)
            if before is not None and both is None:
                out.append(before)
            out.append(row if both is None else both)
        return out, taken

    def take(self) -> list[Row]:
        """Return all that is kept, and keep nothing."""
        taken = list(self._held.values())
        self._held.clear()
        return taken
