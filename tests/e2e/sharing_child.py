# SPDX-License-Identifier: GPL-3.0-or-later
"""One of several boxes on one queue: `sharing_child.py CONFIG LEASE_S`, until SIGTERM.

Its networks are files. `near` reads what people say from `said`, wherever a box was before; `far` shows what
it is sent in `shown`; `mast_BOX` is a radio that only the box of that name has, and what it hears is in a file
of that name.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import gateway.delivery
import gateway.holding
from gateway import service
from gateway.config import load
from gateway.model import (
    Address,
    BridgeKind,
    Capabilities,
    LinkDown,
    Message,
    NativeId,
    Receipt,
    RemoteId,
    ResumePoint,
    Sender,
    SenderId,
    Support,
    Text,
)
from gateway.registry import Registry

CONVERSATIONS = 3
BOX = ""


class FileBridge:
    """Reads a file of its name from where it was, shows what it is sent in `shown`."""

    def __init__(self, context):
        self.name = context.name
        self.capabilities = Capabilities(
            room_for=lambda *_: 1000, names=Support.NATIVE, in_flight=4, reconnect_within_s=0.5
        )
        self._folder = Path(context.table["folder"])
        self._context = context
        self._at = None if context.resume is None else int(context.resume)

    async def __aenter__(self):
        if (self.name.startswith("mast") and self.name != f"mast_{BOX}") or (self._folder / f"cut_{BOX}").exists():
            raise LinkDown("there is no such device here")
        if self._at is None:
            self._at = self._first()
        self._note("connected")
        return self

    def _first(self):
        return 0

    async def __aexit__(self, *_):
        self._note("left")

    def _note(self, what):
        with (self._folder / "sessions").open("a") as ledger:
            ledger.write(f"{time.monotonic():.3f}\t{BOX}\t{self.name}\t{what}\n")

    async def receive(self):
        said = self._folder / self.name
        while True:
            if (self._folder / f"cut_{BOX}").exists():
                raise LinkDown("cut")
            lines = said.read_text().splitlines() if said.exists() else []
            while self._at < len(lines):
                yield self._message(self._at, lines[self._at])
                self._at += 1
            await asyncio.sleep(0.02)

    def _message(self, index, line):
        return Message(
            native_id=NativeId(f"{self.name}:{index}"),
            origin=Address(self.name, f"room{index % CONVERSATIONS}"),
            sender=Sender(id=SenderId("someone"), name="someone"),
            content=Text(body=line),
            received_ms=self._context.clock.now_ms(),
            remote_id=RemoteId(str(index)),
            resume=ResumePoint(str(index + 1)),
        )

    async def send(self, message, to, *, key):
        await asyncio.sleep(0.005)
        with (self._folder / "shown").open("a") as ledger:
            ledger.write(f"{key}\t{to.conversation}\t{message.content.body}\t{BOX}\n")
        return Receipt(remote_id=RemoteId(key))


class RoamingBridge(FileBridge):
    """One that another box can go on reading; new, it begins with what is said from now on."""

    def _first(self):
        said = self._folder / self.name
        return len(said.read_text().splitlines()) if said.exists() else 0

    @property
    def position(self):
        return None if self._at is None else ResumePoint(str(self._at))

    def go_on_from(self, point):
        self._at = int(point)


def build(context):
    return (FileBridge if context.name.startswith("mast") else RoamingBridge)(context)


if __name__ == "__main__":
    registry = Registry({"file": lambda: BridgeKind(create=build, check=lambda _: frozenset())})
    settings = load(Path(sys.argv[1]), {}, registry=registry)
    BOX = settings.gateway.name
    lease_ms = round(float(sys.argv[2]) * 1000)
    gateway.holding.LEASE_MS = gateway.delivery.LEASE_MS = lease_ms
    gateway.holding.LET_GO_MS = lease_ms * 2 // 3  # in the proportion they really have
    asyncio.run(service.serve(settings, registry=registry))
