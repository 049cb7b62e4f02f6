# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway that kills itself at one hop: `hop_child.py FOLDER HOP COUNT`.

Its networks are files: `said` is what people say (a line each), `shown` is what the far side shows.
The far side shows a key once, as Matrix does. The process is killed the COUNT-th time it passes HOP;
it stops when everything has arrived.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from gateway import health, service
from gateway.config import load
from gateway.journal import Journal
from gateway.model import (
    Address,
    BridgeKind,
    Capabilities,
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
from gateway.outbox.redis import RedisOutbox
from gateway.registry import Registry

CONVERSATIONS = 3


class FileBridge:
    """Reads `said` from its resume point on, shows what it is sent in `shown`."""

    def __init__(self, context):
        self.name = context.name
        self.capabilities = Capabilities(room_for=lambda *_: 1000, names=Support.NATIVE, in_flight=4)
        self._folder = Path(context.table["folder"])
        self._context = context
        self._at = int(context.resume or 0)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def receive(self):
        if self.name == "near":
            lines = (self._folder / "said").read_text().splitlines()
            while self._at < len(lines):
                yield self._message(self._at, lines[self._at])
                self._at += 1
                await asyncio.sleep(0.002)  # so that it takes more than one batch
        await asyncio.Event().wait()
        yield

    def _message(self, index, line):
        return Message(
            native_id=NativeId(f"near:{index}"),
            origin=Address(self.name, f"room{index % CONVERSATIONS}"),
            sender=Sender(id=SenderId("someone"), name="someone"),
            content=Text(body=line),
            received_ms=self._context.clock.now_ms(),
            remote_id=RemoteId(str(index)),
            resume=ResumePoint(str(index + 1)),
        )

    async def send(self, message, to, *, key):
        pass_hop("before send")
        shown = self._folder / "shown"
        with shown.open("a") as ledger:
            ledger.write(f"{key}\t{to.conversation}\t{message.content.body}\n")
        pass_hop("after send")
        return Receipt(remote_id=RemoteId(key))


passed: Counter[str] = Counter()
fatal = ("", 0)


def pass_hop(hop):
    passed[hop] += 1
    if (hop, passed[hop]) == fatal:
        os.kill(os.getpid(), signal.SIGKILL)


def wrap(owner, method, before, after):
    inner = getattr(owner, method)

    async def wrapped(self, *args, **kwargs):
        pass_hop(before)
        result = await inner(self, *args, **kwargs)
        pass_hop(after)
        return result

    setattr(owner, method, wrapped)


async def main(folder):
    wrap(Journal, "accept", "before journal", "after journal")
    wrap(RedisOutbox, "put", "before put", "after put")
    wrap(RedisOutbox, "claim", "before claim", "after claim")
    wrap(Journal, "record", "before receipt", "after receipt")
    wrap(RedisOutbox, "settle", "before settle", "after settle")
    registry = Registry({"file": lambda: BridgeKind(create=FileBridge, check=lambda _: frozenset())})
    settings = load(folder / "crossband.toml", {}, registry=registry)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(service.serve(settings, registry=registry, stop=stop))
        said = len((folder / "said").read_text().splitlines())
        while True:
            await asyncio.sleep(0.05)
            shown = folder / "shown"
            if shown.exists() and len({line.split("\t")[2] for line in shown.read_text().splitlines()}) == said:
                # Whatever is still on its way may only be a repeat: give it the chance to show.
                await asyncio.sleep(1.0)
                stop.set()
                return


if __name__ == "__main__":
    health.CLOCK_EVERY_S = float(os.environ.get("CLOCK_EVERY_S", health.CLOCK_EVERY_S))
    fatal = (sys.argv[2], int(sys.argv[3]))
    asyncio.run(main(Path(sys.argv[1])))
