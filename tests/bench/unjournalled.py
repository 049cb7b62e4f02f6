# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a radio packet is in memory only, with the gateway's real parts in this process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bridges.meshtastic import kind as meshtastic
from gateway.journal import Journal
from gateway.model import BridgeKind
from gateway.registry import Registry
from tests.bench.pipeline import InstantBridge, core
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
    async with radio(folder) as port:
        instant = BridgeKind(create=InstantBridge, check=lambda _: frozenset())
        registry = Registry({"meshtastic": lambda: meshtastic, "instant": lambda: instant})
        config = _CONFIG.format(path=port.path)
        async with core(folder, config, registry, journal_type=TimedJournal) as (_, journal, _):
            await port.wait_client()
            while not port.firmware.has_client:
                await asyncio.sleep(0.01)
            journal.talk = talk = Talk(port)
            return await talk.hold(texts)
