# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the radio that a bridge is for, and keeping to it: which port, which board, whose turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from bridges.meshtastic.config import MeshtasticConfig
from bridges.meshtastic.connection import Connection, SerialAuto, SerialPath, Tcp
from bridges.meshtastic.line import Line
from bridges.meshtastic.link import Link, Silent, Stranger
from bridges.meshtastic.places import node_id
from bridges.meshtastic.port import CannotOpen, Closed, Port, open_serial
from bridges.meshtastic.reasons import in_use, missing
from bridges.meshtastic.register import SILENT, Seat
from bridges.meshtastic.rivalry import Rivalry
from bridges.meshtastic.tcp import Resolver, open_tcp
from gateway.model import Clock, LinkDown
from gateway.model.devices import holders

log = structlog.get_logger()

T = TypeVar("T")

STRANGER_AGAIN_S = 5.0
"""How soon it is looked again whether a port has the right board by now."""
MANY_SILENCES = 3
HANGS = (
    "{reason}: it did, and hangs; opening the port anew did not help {count} times. Press the board's reset button, or "
    "unplug it and plug it in again"
)

Greet = Callable[[Line, bool], Awaitable[Link]]
"""``greet(port, is_certain)``: begin the session; LinkDown, with the port closed, if that fails."""


class Finder:
    """Opens the line to one bridge's radio, as often as it is lost."""

    def __init__(
        self,
        config: MeshtasticConfig,
        seat: Seat,
        *,
        clock: Clock,
        boards: Callable[[], list[SerialPath]],
        greet: Greet,
        resolver: Callable[[Tcp], Resolver] = Resolver,
    ) -> None:
        self._where: Connection = config.connection
        self._seat = seat
        self._clock = clock
        self._boards = boards
        self._greet = greet
        self._resolver = resolver(self._where) if isinstance(self._where, Tcp) else None
        self._rivalry = Rivalry()
        self._proven: SerialPath | Tcp | None = None
        self._silences = 0
        self.replaced = ""
        """Which node was at the port before the one that is there now; empty: none that we met."""

    async def connect(self, where: SerialAuto | SerialPath | Tcp) -> Link:
        """Return a link to a radio that was greeted; LinkDown, with nothing left open, if there is none for us."""
        before = self._seat.number
        if isinstance(where, SerialAuto):
            link = await self._search()
        else:
            link = await self._try(where)
        self._note_number(link, before)
        return link

    def lost(self, error: LinkDown) -> LinkDown:
        """Take in that a link which was up is gone; return what to say of it."""
        if not isinstance(self._where, Tcp):
            return error
        if not isinstance(error, Closed):
            self._rivalry.failed()
            return error
        rival = self._rivalry.closed(self._clock.monotonic())
        return error if rival is None else LinkDown(f"{self._where}: {rival[0]}", retry_after_s=rival[1])

    async def _search(self) -> Link:
        failures = []
        for each in sorted(self._boards(), key=self._last_hope):
            if reason := self._seat.why_not(each.path, self._clock.monotonic()):
                failures.append(f"{each.path}: {reason}")
                continue
            try:
                return await self._try(each)
            except LinkDown as error:
                failures.append(str(error))
        found = "; ".join(failures) or "no USB board that may be a radio is plugged in"
        wanted = self._seat.node
        raise LinkDown(found if wanted is None else f"{node_id(wanted)} is not found: {found}")

    def _last_hope(self, board: SerialPath) -> bool:
        """First where our radio is known to be, then the others in their order."""
        number = self._seat.register.proven(board.path, self._clock.monotonic())
        return board != self._proven and (number is None or number != self._seat.node)

    async def _try(self, where: SerialPath | Tcp) -> Link:
        try:
            is_certain = where == self._proven or not isinstance(self._where, SerialAuto)
            link = await self._greet(await self._open(where), is_certain)
        except Stranger as error:
            raise LinkDown(str(error), retry_after_s=self._again_s()) from error
        except Silent as error:
            raise self._silent(where, error) from error
        except Closed as error:
            raise self.lost(error) from error
        self._silences = 0
        self._proven = where
        return link

    async def _open(self, where: SerialPath | Tcp) -> Port:
        name = where.path if isinstance(where, SerialPath) else str(where).lower()
        if holder := self._seat.holder(name):
            raise LinkDown(f"{name}: is in use by the bridge {holder.name}")
        self._seat.take(name)
        try:
            port = await (self._open_tcp(where) if isinstance(where, Tcp) else self._open_serial(where.path))
        except BaseException:
            self._seat.release()
            raise
        port.on_closed = self._seat.release
        return port

    async def _open_tcp(self, where: Tcp) -> Port:
        assert self._resolver is not None  # noqa: S101 - there is one where the connection is TCP
        try:
            port = await open_tcp(where, self._resolver)
        except LinkDown:
            self._rivalry.failed()
            raise
        self._rivalry.connected(self._clock.monotonic())
        return port

    async def _open_serial(self, path: str) -> Port:
        try:
            port = open_serial(path)
        except CannotOpen as error:
            if error.is_missing and not isinstance(self._where, SerialAuto):
                there = [each.path for each in self._boards()]
                raise LinkDown(f"{path}: {missing(there)}") from error
            raise await _aside(error.in_full) from error
        try:
            # A program that asked for no lock has it open all the same, and would take half of what the radio says.
            others = await _aside(lambda: holders(path))
        except BaseException:
            port.close()
            raise
        if others:
            port.close()
            raise LinkDown(f"{path}: {in_use(path, others)}")
        return port

    def _silent(self, where: SerialPath | Tcp, error: Silent) -> LinkDown:
        if where != self._proven:
            if isinstance(where, SerialPath):
                self._seat.register.prove(where.path, SILENT, self._clock.monotonic())
            return error
        self._silences += 1
        if self._silences < MANY_SILENCES:
            return error
        return LinkDown(HANGS.format(reason=error, count=self._silences))

    def _again_s(self) -> float | None:
        return None if isinstance(self._where, SerialAuto) else STRANGER_AGAIN_S

    def _note_number(self, link: Link, before: int) -> None:
        now = self._seat.number
        if before in (0, now):
            return
        self.replaced = node_id(before)
        log.warning("radio_replaced", bridge=self._seat.name, port=link.name, was=self.replaced, node=node_id(now))


async def _aside(look: Callable[[], T]) -> T:
    """Look through ``/proc`` without holding up the loop."""
    return await asyncio.to_thread(look)
