# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a radio packet is in memory only, with the gateway's real parts in this process."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from bridges.meshtastic import kind as meshtastic
from gateway.assembly import Assembly
from gateway.clock import SystemClock
from gateway.config import load
from gateway.delivery import deliver
from gateway.journal import Journal, Retention
from gateway.metrics import Metrics
from gateway.model import BridgeKind
from gateway.outbox.embedded import EmbeddedServer
from gateway.outbox.redis import RedisOutbox
from gateway.registry import Registry
from gateway.service import share_the_interpreter
from gateway.status import EventHub
from gateway.tally import Tally
from tests.bench.pipeline import InstantBridge
from tests.bench.talk import Talk, radio

_CONFIG = """
[gateway]
name = "bench"
data_dir = "data"
[bridges.radio]
kind = "meshtastic"
connection = "serial:{path}"
[bridges.far]
kind = "instant"
[[routes]]
name = "town"
from = ["radio/LongFast"]
to = ["far/town"]
[permissions]
"*" = "transmit"
"""


class TimedJournal(Journal):
    """Tells when a message's `accept` is about to return: it is on the disk by then."""

    talk: Talk

    async def accept(self, message, deliveries, ended=()):
        result = await super().accept(message, deliveries, ended)
        self.talk.came(message.content.body, time.perf_counter())
        return result


async def unjournalled(folder: Path, texts: int = 200) -> list[float]:
    """Milliseconds from writing a text's frame on the PTY to the journal's `accept` of it returning.

    That is more than the time in the gateway's memory, by the way through the PTY. The gateway's real
    parts run in this process, the queue and a destination that takes everything at once with them.
    """
    share_the_interpreter()
    async with radio(folder) as port:
        (folder / "crossband.toml").write_text(_CONFIG.format(path=port.path))
        instant = BridgeKind(create=InstantBridge, check=lambda _: frozenset())
        registry = Registry({"meshtastic": lambda: meshtastic, "instant": lambda: instant})
        settings = load(folder / "crossband.toml", {}, registry=registry)
        clock = SystemClock()
        steady = asyncio.Event()
        steady.set()
        server = EmbeddedServer(folder / "queue", run_dir=folder / "run", fsync=settings.queue.fsync)
        async with (
            server,
            TimedJournal(folder / "journal.db", clock=clock, retention=Retention()) as journal,
            RedisOutbox(server.url, community="bench") as outbox,
            asyncio.TaskGroup() as group,
        ):
            running = [group.create_task(server.run())]
            parts = await Assembly(
                settings=settings,
                registry=registry,
                journal=journal,
                outbox=outbox,
                clock=clock,
                random=random.Random(1),
                tally=Tally(EventHub(), Metrics()),
                steady=steady,
            ).build()
            for part in parts.by_bridge.values():
                jobs = (part.drain.run(), deliver(part.sender), part.supervisor.run())
                running += [group.create_task(job) for job in jobs]
            await port.wait_client()
            while not port.firmware.has_client:
                await asyncio.sleep(0.01)
            journal.talk = talk = Talk(port)
            took = await talk.hold(texts)
            for task in running:
                task.cancel()
            return took
