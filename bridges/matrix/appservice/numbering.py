# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ids of transactions tell: that a homeserver keeps one to itself.

Synapse (1.163, `appservice/scheduler.py`) makes a transaction without sending it while it thinks us down. One
made in the moment in which its recovery ends is sent neither by the recovery nor after it: it stays until we
are next thought down, and what is said later comes first. Its ids are counted, so it shows as a gap. A
transaction behind a gap is refused, once: Synapse thinks us down then, and sends from the oldest on.

The count may be shared with other application services (one sequence for all of them), and other homeservers
may not count at all: a gap in which nothing turns out to be is the last one that is judged.
"""

from __future__ import annotations


class Numbering:
    """Judges transactions by their ids, for one connection. Pure."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what came before: a connection begins."""
        self._last: int | None = None
        self._refused: int | None = None
        self._gap_after: int | None = None
        self._counts_us_only = True

    def refused(self, txn_id: str) -> None:
        """Take note that this one was refused for another reason: what is older may come first, with gaps."""
        self._refused, self._gap_after = _number(txn_id), None

    def is_repeated(self, txn_id: str) -> bool:
        """Whether this one was the last that was taken: the homeserver didn't get our answer."""
        number = _number(txn_id)
        return number is not None and self._last is not None and number == self._last

    def is_behind_a_gap(self, txn_id: str) -> bool:
        """Whether to refuse this one, for the sake of one before it that never came."""
        number = _number(txn_id)
        if number is None or self._last is None or not self._counts_us_only:
            return False
        if self._refused is not None and number <= self._refused:
            return False  # a recovery begins with the oldest there is
        if number <= self._last + 1:
            return False  # in turn; or a repeat; or the count began again
        self._refused, self._gap_after = number, self._last
        return True

    def took(self, txn_id: str) -> None:
        """Take note that this one is stored."""
        number = _number(txn_id)
        if number is None:
            return
        if number == self._refused:
            # Nothing came before it, though it was refused for that: others count along.
            self._counts_us_only = self._gap_after is None or self._gap_after != self._last
            self._refused = self._gap_after = None
        # One that failed comes again behind those that were already on their way.
        self._last = number if self._last is None else max(number, self._last)


def _number(txn_id: str) -> int | None:
    is_count = txn_id.isascii() and txn_id.isdecimal() and len(txn_id) <= 18  # noqa: PLR2004 - more is no count
    return int(txn_id) if is_count else None
