# SPDX-License-Identifier: GPL-3.0-or-later
"""The log and the rooms made of it, together: what is written goes into both, what comes from other boxes too."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from bridges.lan.chronicle import Chronicle
from bridges.lan.entries import COPY, Said, Standing, copy_body, read, said_body, standing_body
from bridges.lan.event import MOST_BODY_BYTES, MOST_NATIVE_BYTES
from bridges.lan.followers import Followers
from bridges.lan.hall import Line
from bridges.lan.shared import SharedLog, go_on, mark_of
from bridges.lan.store import Arrived
from bridges.lan.transcript import Reader, is_line, words_of_state
from gateway.model import NEVER_SET_MS, Clock, LinkDown, Message, NativeId, Rejected, Unconfirmed

log = structlog.get_logger()

ROOMS_FILE = "rooms.db"
AT_ONCE = 64
AGAIN_S = 2.0
RETAIN_EVERY_S = 3600.0


@contextmanager
def readable() -> Iterator[None]:
    """Say LinkDown where the log, or what is made of it, can't be used."""
    try:
        yield
    except sqlite3.Error as error:
        raise LinkDown(f"the log can't be used: {error}") from error


class Diary:
    """What was said, kept and shown. Reusable, not reentrant."""

    def __init__(
        self,
        shared: SharedLog,
        path: Path,
        clock: Clock,
        *,
        retention_s: int,
        count: Callable[[str], None],
        learn: Callable[[Sequence[Arrived]], None] = lambda _: None,
    ) -> None:
        """`learn`: is told of all that comes, as it comes."""
        self.shared = shared
        self.followers = Followers()
        self.trouble = ""
        """Why what others say isn't shown just now, in words; empty while it is."""
        self._path = path
        self._clock = clock
        self._retention_s = retention_s
        self._count = count
        self._learn = learn
        self._rooms: Chronicle | None = None
        self._after = 0
        self._counting_by = ""
        self._one_at_a_time = asyncio.Lock()
        self._stack = AsyncExitStack()
        self.on_retained: Callable[[], Awaitable[None]] = _nothing
        """Called now and then, when what is too old is gone and all that is there is shown."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.shared)
            self._rooms = Chronicle(self._path)
            stack.callback(self._close)
            if await self._lost_log():
                self._count("log_shorter")
                log.warning("lan_log_shorter", mend="the other boxes are asked for what it lost")
                await self.shared.refill()
            await self._begin()
            following = asyncio.create_task(self._follow(), name="follow the LAN's log")
            stack.push_async_callback(_ended, following)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def rooms(self) -> Chronicle | None:
        """The rooms; None while it is closed."""
        return self._rooms

    async def write(self, message: Message, room: str) -> bool:
        """Have a message in the log under its native id, durably, and show it; False if it is there already.

        Its ids are native ones. Rejected if it is too large; LinkDown or Unconfirmed if it can't be written.
        """
        native = message.native_id
        body = said_body(message, room, said_in=message.said_in)
        if len(body.encode("utf-8", "replace")) > MOST_BODY_BYTES or len(native.encode()) > MOST_NATIVE_BYTES:
            raise Rejected(f"too large for the log: more than {MOST_BODY_BYTES} bytes with who said it")
        with readable():
            return await self._write(native, body, room)

    async def _write(self, native: NativeId, body: str, room: str) -> bool:
        is_new = await self._append(native, body)
        if not is_new and is_line(_said(native, body)) and not await self._has(room, native):
            copy = f"{COPY}{room}:{native}"
            if len(copy.encode()) > MOST_NATIVE_BYTES:
                raise Rejected("its id is too long for a second room")
            is_new = await self._append(copy, copy_body(body, native))
        await self.catch_up()
        return is_new

    async def tell(self, standing: Standing) -> None:
        """Tell the box where a line was said what became of it, unless it was told. LinkDown or Unconfirmed."""
        with readable():
            if self._rooms is None or self._rooms.standing(
                standing.about, self.shared.box, standing.leg
            ) == words_of_state(standing):
                return
        await self._append("", standing_body(standing))
        self.stand(standing)

    def stand(self, standing: Standing) -> bool:
        """Show what became of a line, as this box knows; False if that is shown."""
        if self._rooms is None:
            return False
        words, now_ms = words_of_state(standing), self._clock.now_ms()
        with readable():
            changed = self._rooms.stand(standing.about, self.shared.box, standing.leg, words, now_ms)
            if changed:
                self._show({standing.about})
        return changed

    def follow(self, room: str) -> AsyncGenerator[Line]:
        """Yield each line of a room that is new, or changed."""
        return self.followers.follow(room)

    async def catch_up(self) -> None:
        """Show what is new in the log, all of it; a long history lets others run meanwhile."""
        async with self._one_at_a_time:
            if self._rooms is not None and self._counting_by != self._believed():
                await self._begin()  # a box was put out, or this one joined others: other things count
            while await self._step():  # noqa: ASYNC110 - it waits for nothing
                await asyncio.sleep(0)

    # Inside.

    async def _lost_log(self) -> bool:
        """Whether the rooms have what the log no longer has: its end is lost, or all of it."""
        assert self._rooms is not None  # noqa: S101 - opened just before
        mark = self._rooms.mark
        return mark is not None and await go_on(self.shared, mark) is None

    async def _begin(self) -> None:
        assert self._rooms is not None  # noqa: S101 - opened just before
        believed = self._counting_by = self._believed()
        after = await go_on(self.shared, self._rooms.mark) if self._rooms.believed == believed else None
        if after is None:
            self._rooms.begin(believed)
        self._after = after or 0

    def _believed(self) -> str:
        return repr(sorted((box, sorted(limit.items())) for box, limit in self.shared.roll.limits.items()))

    def _close(self) -> None:
        if self._rooms is not None:
            self._rooms.close()
            self._rooms = None
        self.followers.end()

    async def _append(self, native: str, body: str) -> bool:
        try:
            return await self.shared.append(native, body)
        except sqlite3.Error as error:
            raise Unconfirmed(f"the log can't be written: {error}") from error

    async def _has(self, room: str, native: str) -> bool:
        await self.catch_up()
        return self._rooms is not None and self._rooms.has(room, native)

    async def _follow(self) -> None:
        retained_s = float("-inf")
        while True:
            try:
                await self.catch_up()
                if self._clock.monotonic() - retained_s >= RETAIN_EVERY_S:
                    retained_s = self._clock.monotonic()
                    await self._retain()
                self.trouble = ""
                await self.shared.wait(self._after)
            except (sqlite3.Error, LinkDown) as error:
                self.trouble = f"the log can't be read: {error}"
                log.warning("lan_log_unreadable", reason=str(error))
                await self._clock.sleep(AGAIN_S)

    async def _retain(self) -> None:
        now_ms = self._clock.now_ms()
        if self._rooms is None or now_ms < NEVER_SET_MS:
            return  # by a clock that was never set everything is of the future
        since_ms = now_ms - self._retention_s * 1000
        await self.shared.retain(since_ms)
        self._rooms.retain(since_ms)
        await self.on_retained()

    async def _step(self) -> bool:
        """Show some of what is new; False if there was nothing."""
        batch = await self.shared.news(self._after, AT_ONCE)
        if self._rooms is None or not batch:
            return False
        self._learn(batch)
        now_ms = self._clock.now_ms()
        reader = Reader(box=self.shared.box, roll=self.shared.roll, now_ms=now_ms, count=self._count)
        told = reader.read(batch)
        self._rooms.take(told.heard, told.standings, mark_of(batch[-1]), now_ms, told.copies)
        self._after = batch[-1].arrival
        self._show(told.changed)
        return True

    def _show(self, natives: Iterable[str]) -> None:
        if self._rooms is None or not self.followers.are_there:
            return
        for native in natives:
            shown = self._rooms.target_of(native) or native
            for room in self._rooms.rooms_of(native):
                if (line := self._rooms.line(room, shown)) is not None:
                    self.followers.tell(line)
            for copy in self._rooms.copies(native):
                self.followers.tell(copy)


def _said(native: str, body: str) -> Said:
    said = read(native, body)
    if not isinstance(said, Said):
        raise TypeError(said)
    return said


async def _nothing() -> None:
    return


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
