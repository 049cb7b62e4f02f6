# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway in whose chats people make routes, and that kills itself at one hop: `routes_child.py FOLDER HOP COUNT`.

Its networks are files: `said` has a line for each thing said (``sender|room|text``; it is read on as it grows),
`shown` what the far side shows, `answered` what the desk answered. `!join ADDRESS` and `!part ADDRESS` go to
the desk. The process is killed the COUNT-th time it passes HOP; it runs until there is a file `stop`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from gateway import service
from gateway.config import load
from gateway.journal.decisions import Decisions
from gateway.model import (
    Address,
    BridgeKind,
    Capabilities,
    Certainty,
    Declined,
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


class FileBridge:
    def __init__(self, context):
        self.name = context.name
        self.capabilities = Capabilities(room_for=lambda *_: 1000, names=Support.NATIVE, replies=Support.NATIVE)
        self._folder = Path(context.table["folder"])
        self._context = context
        self._conversations = context.conversations
        self._at = int(context.resume or 0)

    async def __aenter__(self):
        self._write("started", " ".join(one.name for one in self._conversations))
        return self

    async def __aexit__(self, *_):
        return None

    def reroute(self, conversations):
        self._conversations = conversations
        self._write("rerouted", " ".join(one.name for one in conversations))

    async def receive(self):
        while True:
            lines = (self._folder / f"said-{self.name}").read_text().splitlines()
            while self._at < len(lines):
                sender, room, text = lines[self._at].split("|")
                if text.startswith("!"):
                    await self._ask(Address(self.name, room), SenderId(sender), text)
                else:
                    yield self._message(room, sender, text)
                self._at += 1
            await asyncio.sleep(0.01)

    async def _ask(self, here, by, text):
        command, there = text.split(" ")
        desk = self._context.desk
        try:
            if command == "!join":
                made = await desk.join(here, desk.resolve(there), by=by, direct="!" in there)
                self._write("joined", made.route)
            else:
                ended = await desk.part(here, desk.resolve(there), by=by)
                self._write("parted", " ".join(one.route for one in ended))
        except Declined as declined:
            self._write("declined", str(declined))

    def _message(self, room, sender, text):
        return Message(
            native_id=NativeId(f"{self.name}:{self._at}"),
            origin=Address(self.name, room),
            sender=Sender(id=SenderId(sender), name=sender),
            content=Text(body=text),
            received_ms=self._context.clock.now_ms(),
            remote_id=RemoteId(str(self._at)),
            direct=room.startswith("!"),
            resume=ResumePoint(str(self._at + 1)),
        )

    async def send(self, message, to, *, key):
        keys = self._folder / "keys"
        if not keys.exists() or key not in keys.read_text():  # a key shows once, as in Matrix
            with keys.open("a") as known:
                known.write(f"{key}\n")
            self._write("shown", f"{to} {message.content.body}")
        return Receipt(remote_id=RemoteId(key), certainty=Certainty.DELIVERED)

    def _write(self, what, words):
        with (self._folder / "ledger").open("a") as ledger:
            ledger.write(f"{self.name} {what} {words}\n")


passed: Counter[str] = Counter()
fatal = ("", 0)


def pass_hop(hop):
    passed[hop] += 1
    if (hop, passed[hop]) == fatal:
        os.kill(os.getpid(), signal.SIGKILL)


def wrap(method, before, after):
    inner = getattr(Decisions, method)

    async def wrapped(self, *args):
        pass_hop(before)
        result = await inner(self, *args)
        pass_hop(after)
        return result

    setattr(Decisions, method, wrapped)


async def main(folder):
    wrap("keep", "before keep", "after keep")
    wrap("drop", "before drop", "after drop")
    kind = BridgeKind(
        create=FileBridge,
        check=lambda _: frozenset(),
        is_direct=lambda conversation: conversation.startswith("!"),
    )
    registry = Registry({"file": lambda: kind})
    settings = load(folder / "crossband.toml", {}, registry=registry)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(service.serve(settings, registry=registry, stop=stop))
        while not (folder / "stop").exists():
            await asyncio.sleep(0.05)
        stop.set()


if __name__ == "__main__":
    fatal = (sys.argv[2], int(sys.argv[3]))
    asyncio.run(main(Path(sys.argv[1])))
