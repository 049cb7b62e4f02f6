# SPDX-License-Identifier: GPL-3.0-or-later
"""What people ask of the journal: looked up in steps, so that a long look holds up no delivery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from gateway.journal import depth, letters, queries
from gateway.journal.reader import Reader
from gateway.journal.records import Ages, DeadLetter, DeadLetters, LetterPage, MessageRecord, MessageRecords, Messages
from gateway.model import BridgeName

LAST: Final = 1 << 50
"""After every message there is."""
WINDOW: Final = 2000
"""Messages looked at in one step where only some of them are wanted."""
LETTERS: Final = 100
"""Dead letters looked at in one step."""
MOST_STEPS: Final = 50
"""Steps to one answer, if little of what is looked at is wanted."""


class Overview:
    """Looks at much, a little at a time. Every call raises JournalError when the file can't be read."""

    def __init__(self, reader: Reader, head: Callable[[], int], monotonic: Callable[[], float]) -> None:
        """`head`: the last sequence; `monotonic`: seconds, for looks that have a time limit."""
        self._reader = reader
        self._head = head
        self._monotonic = monotonic

    async def ages(
        self, bridge: BridgeName, times_ms: Sequence[int], *, for_s: float, by_conversation: bool = False
    ) -> Ages:
        """Count what waits for a bridge: how many by each conversation were received by none, one, two.. of the times.

        `for_s`: how long to count; what is not counted by then is younger than what is, and `complete` is False.
        """
        edges = await self._reader.ask(lambda connection: depth.edges(connection, times_ms))
        counts: Counter[tuple[str, int]] = Counter()
        until = self._monotonic() + for_s
        after: int | None = 0
        while after is not None:
            look = partial(depth.step, bridge=bridge, after=after, edges=edges, by_conversation=by_conversation)
            found = await self._reader.ask(look)
            counts.update({(conversation, column): n for conversation, column, n in found.counts})
            after = found.upto
            if after is not None and self._monotonic() >= until:
                break
        return Ages(counts=_by_conversation(counts, len(times_ms) + 1), complete=after is None)

    async def messages(
        self, which: Messages, *, limit: int, after: int | None = None, before: int = LAST
    ) -> MessageRecords:
        """Return messages in ascending order: the first `after` a sequence; else the last `before` one.

        A page may be short, or empty, and yet not the last.
        """
        latest = after is None
        low, high = await self._between(which, after or 0, min(before - 1, self._head()))
        width = WINDOW if which.address is not None or which.state is not None else high - low
        found: tuple[MessageRecord, ...] = ()
        steps = 0
        while low < high and len(found) < limit and steps < MOST_STEPS:
            edges = (max(low, high - width), high) if latest else (low, min(high, low + width))
            left = limit - len(found)
            look = partial(queries.messages, which=which, low=edges[0], high=edges[1], limit=left, latest=latest)
            more = await self._reader.ask(look)
            found = more + found if latest else found + more
            low, high = (low, edges[0]) if latest else (edges[1], high)
            steps += 1
        return MessageRecords(messages=found, following=_following(found, low, high, limit, latest=latest))

    async def _between(self, which: Messages, low: int, high: int) -> tuple[int, int]:
        """Return which sequences may be wanted, by their times: low < seq <= high."""
        since_ms, until_ms = which.since_ms, which.until_ms
        if since_ms is not None:
            (edge,) = await self._reader.ask(lambda connection: depth.edges(connection, [since_ms - 1]))
            low = max(low, edge)
        if until_ms is not None:
            (edge,) = await self._reader.ask(lambda connection: depth.edges(connection, [until_ms]))
            high = min(high, edge)
        return low, high

    async def letters(
        self, which: DeadLetters, *, limit: int, after: int | None = None, before: int = LAST
    ) -> LetterPage:
        """Return dead letters: `after` a sequence, the earliest accepted first; else `before` one, the latest first.

        About `limit`; a page may be short, or empty, and yet not the last.
        """
        found: list[DeadLetter] = []
        place: int | None = before if after is None else after
        steps = 0
        while place is not None and len(found) < limit and steps < MOST_STEPS:
            look = letters.before if after is None else letters.after
            page = await self._reader.ask(partial(look, which=which, seq=place, limit=LETTERS))
            found += page.letters
            place = page.following
            steps += 1
        return _cut(found, place, limit)


def _following(found: Sequence[MessageRecord], low: int, high: int, limit: int, *, latest: bool) -> int | None:
    """Return where the next page begins: `before` it, or after it. low < seq <= high was not looked at."""
    if len(found) >= limit:
        return found[0].seq if latest else found[-1].seq
    if low >= high:
        return None
    return high + 1 if latest else low


def _cut(found: Sequence[DeadLetter], following: int | None, limit: int) -> LetterPage:
    """Keep about `limit`, all of the last one's message."""
    if len(found) <= limit:
        return LetterPage(letters=tuple(found), following=following)
    last = found[limit - 1].seq
    kept = [letter for n, letter in enumerate(found) if n < limit or letter.seq == last]
    return LetterPage(letters=tuple(kept), following=last if len(kept) < len(found) else following)


def _by_conversation(counts: Counter[tuple[str, int]], columns: int) -> dict[str, tuple[int, ...]]:
    conversations = {conversation for conversation, _ in counts}
    return {one: tuple(counts[one, nth] for nth in range(columns)) for one in sorted(conversations)}
