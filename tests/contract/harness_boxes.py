# SPDX-License-Identifier: GPL-3.0-or-later
"""A LAN bridge whose log gets what another box says, and that may lose its disk."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.alone import LOG_FILE, Alone
from bridges.lan.bridge import LanBridge
from bridges.lan.chronicle import Chronicle
from bridges.lan.diary import ROOMS_FILE
from bridges.lan.entries import said_body
from bridges.lan.identity import box_key
from bridges.lan.log import Log
from bridges.lan.membership import Add, root_of
from bridges.lan.store import Arrived, Store
from gateway.clock import SystemClock
from gateway.model import (
    Address,
    BridgeContext,
    BridgeName,
    Message,
    NativeId,
    RemoteId,
    ResumePoint,
    RoutedConversation,
    Sender,
    SenderId,
    Text,
)
from tests.contract.harness import Shown

LAN = BridgeName("lan")
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
_GONE = "disk I/O error"


class Mortal(Alone):
    """A log whose disk may be pulled out."""

    def __init__(self, harness: BoxesHarness) -> None:
        super().__init__(harness.folder, "hilltop", harness.clock)
        self._harness = harness

    async def __aenter__(self) -> Self:
        if self._harness.is_cut:
            (self._harness.folder / LOG_FILE).open("ab").close()
            raise sqlite3.OperationalError(_GONE)
        await super().__aenter__()
        self._harness.open = self
        return self

    async def __aexit__(self, *args: object) -> None:
        self._harness.open = None
        await super().__aexit__(*args)

    async def append(self, native: str, body: str) -> bool:
        self._check()
        return await super().append(native, body)

    async def news(self, after: int, limit: int = 64) -> Sequence[Arrived]:
        self._check()
        return await super().news(after, limit)

    async def wait(self, after: int) -> None:
        waiting = asyncio.ensure_future(super().wait(after))
        cutting = asyncio.ensure_future(self._harness.cutting.wait())
        try:
            await asyncio.wait([waiting, cutting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            cutting.cancel()
        self._check()

    def _check(self) -> None:
        if self._harness.is_cut:
            raise sqlite3.OperationalError(_GONE)


class BoxesHarness:
    """Somebody at the page of another box, `valley`."""

    place = Address(LAN, "town")
    nowhere = Address(LAN, "cellar")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.cutting = asyncio.Event()
        self.open: Mortal | None = None
        self._count = 0
        self._root = root_of(box_key(folder).public_key(), "hilltop")
        self._valley = Log(Store(":memory:"), OTHER, self._root, start=7)
        with self._closed() as log:
            log.state(Add(key=OTHER.public_key().public_bytes_raw(), name="valley"), self.clock.now_ms())
            self._valley.take(log.delta({}), self.clock.now_ms())

    @property
    def is_cut(self) -> bool:
        return self.cutting.is_set()

    def bridge(self, *, resume: ResumePoint | None = None) -> LanBridge:
        context = BridgeContext(
            name=LAN,
            table={"kind": "lan"},
            state_dir=self.folder,
            clock=self.clock,
            random=random.Random(1),
            conversations=(RoutedConversation(name="town"),),
            resume=resume,
            box="hilltop",
        )
        return LanBridge(context, shared=Mortal(self))

    async def say(self, body: str, *, reply_to: RemoteId | None = None) -> RemoteId:
        self._count += 1
        native = NativeId(f"web:valley:{self._count}")
        message = Message(
            native_id=native,
            origin=self.place,
            sender=Sender(id=SenderId("~bo@valley"), name="bo"),
            content=Text(body=body),
            received_ms=self.clock.now_ms(),
            reply_to=reply_to,
        )
        written = said_body(message, "town")
        event = self._valley.append(native, written, self.clock.now_ms())
        assert event is not None
        if self.open is not None:
            self.open.take([event])
        else:
            with self._closed() as log:
                log.take([event], self.clock.now_ms())
        return RemoteId(native)

    async def shown(self) -> list[Shown]:
        """Return what the core put in, by the page of this box."""
        rooms = Chronicle(self.folder / ROOMS_FILE)
        try:
            lines = rooms.lines("town", limit=1000)
        finally:
            rooms.close()
        ours = (line for line in lines if not line.id.startswith("web:valley:"))
        return [Shown(id=RemoteId(line.id), body=line.text, reply_to=_remote(line.reply_to)) for line in ours]

    async def cut(self) -> None:
        self.cutting.set()

    async def mend(self) -> None:
        self.cutting.clear()

    def mute(self) -> None:
        raise NotImplementedError("a disk always answers")

    confuse = unmute = mute

    async def wait_visited(self) -> None:
        raise NotImplementedError("nobody visits a disk")

    @contextmanager
    def _closed(self) -> Iterator[Log]:
        """The log while no bridge has it open."""
        store = Store(self.folder / LOG_FILE)
        try:
            yield Log(store, box_key(self.folder), self._root, start=99)
        finally:
            store.close()


def _remote(native: NativeId | None) -> RemoteId | None:
    return None if native is None else RemoteId(native)
