# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a journal fit for use: forgetting what is old, and following a wall clock that was set."""

from __future__ import annotations

from functools import partial

from gateway.journal.aging import Aging
from gateway.journal.retention import Room, Shift
from gateway.journal.store import Store
from gateway.journal.writer import Writer
from gateway.model import Clock, JournalError


class Upkeep:
    """A part of `Journal`; every call raises JournalError as that does."""

    def __init__(self, store: Store, writer: Writer, aging: Aging, clock: Clock, *, opened_ms: int) -> None:
        """`opened_ms`: when the file was opened, before anything was written to it."""
        self._store = store
        self._writer = writer
        self._aging = aging
        self._clock = clock
        self._shifts: list[Shift] = []
        self.era = 0
        """How often the clock was set since the file was opened."""
        self._first = store.head
        self._opened_ms = opened_ms

    async def prune(self) -> None:
        """Forget what retention allows, in steps between which others write. Writes in any case.

        What is old is judged by a clock that has been steady for a day: see `Aging`.
        JournalError if it can't be written, or is still too full to accept anything.
        """
        now_ms = self._aging.now_ms()
        await self._writer.task(lambda store, _: store.set_meta("pruned_ms", now_ms), durable=True)
        place = await self._writer.task(lambda _, room: room.forget_old(None, now_ms))
        while place is not None:
            place = await self._writer.task(partial(_forget_old, place=place, now_ms=now_ms))
        after: int | None = 0
        while after is not None:
            after = await self._writer.task(partial(_forget_beyond, after=after, now_ms=now_ms))
        if full := await self._writer.task(lambda _, room: room.full(now_ms)):
            raise JournalError(full)

    @property
    def is_shifting(self) -> bool:
        """Whether the journal is still following a clock that was set: some of its times are by the one of before."""
        return bool(self._shifts)

    async def shift(self, delta_ms: int) -> None:
        """Follow a wall clock that was set by so much: what was written since opening moves along.

        So does what was written before a clock was ever set. After JournalError call it again with 0, to
        do what is left of it.
        """
        if delta_ms:
            self._aging.stepped(delta_ms)
            self._shifts.append(
                Shift(
                    self._store,
                    first=self._first,
                    opened_ms=self._opened_ms,
                    now_ms=self._clock.now_ms() - delta_ms,
                    delta_ms=delta_ms,
                    era=self._next_era(),
                )
            )
            self._opened_ms += delta_ms
        while self._shifts:
            upto = await self._writer.task(partial(_shift, move=self._shifts[0]))
            if upto is None:
                del self._shifts[0]
            else:
                self._shifts[0].go_on(upto)

    def _next_era(self) -> int:
        self.era += 1
        return self.era


def _forget_old(_: Store, room: Room, *, place: tuple[int, int], now_ms: int) -> tuple[int, int] | None:
    return room.forget_old(place, now_ms)


def _forget_beyond(_: Store, room: Room, *, after: int, now_ms: int) -> int | None:
    return room.forget_beyond(after, now_ms)


def _shift(_: Store, __: Room, *, move: Shift) -> int | None:
    return move.step()
