# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that come in from a radio on a PTY, at a pace, and how long each takes to come out somewhere."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from meshtastic.protobuf.mesh_pb2 import FromRadio

from bridges.sim.framing import frame
from bridges.sim.identity import BROADCAST, FAR_NODES
from bridges.sim.mesh import SimMesh
from bridges.sim.packets import packet_of, text_data
from bridges.sim.ports import PtyPort

EVERY_S = 0.05
"""Between two texts: about 20 a second, which is far more than LoRa carries."""
WARM_UP = 20
"""Texts before those that count."""
LAST_WITHIN_S = 20.0


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@asynccontextmanager
async def radio(folder: Path) -> AsyncIterator[PtyPort]:
    """A radio on a PTY, with other nodes around that say nothing."""
    async with SimMesh(seed=1) as mesh, PtyPort(mesh, folder / "radio") as port:
        yield port


class Talk:
    """Texts written to the radio's line, each known by its words, and when each was written and came out."""

    def __init__(self, port: PtyPort) -> None:
        self._port = port
        self._chance = random.Random(1)
        self._written: dict[str, float] = {}
        self._came: dict[str, float] = {}
        self._news = asyncio.Event()

    def came(self, text: str, at: float) -> None:
        """Note that a text came out, at this `time.perf_counter()`."""
        if text in self._written:
            self._came.setdefault(text, at)
            self._news.set()

    async def hold(self, number: int) -> list[float]:
        """Write so many texts about `EVERY_S` apart; return how long each took, in ms."""
        texts = [f"Bench text {at} of the ridge relay" for at in range(number + WARM_UP)]
        for at, text in enumerate(texts):
            self._write(text, at)
            # Not in step with anything that happens at fixed times.
            await asyncio.sleep(EVERY_S * self._chance.uniform(0.5, 1.5))
        async with asyncio.timeout(LAST_WITHIN_S):
            while len(self._came) < len(texts):
                self._news.clear()
                await self._news.wait()
        return [(self._came[text] - self._written[text]) * 1000 for text in texts[WARM_UP:]]

    def _write(self, text: str, at: int) -> None:
        packet = packet_of(text_data(text), sender=FAR_NODES[0].number, to=BROADCAST, id=0x1000 + at)
        packet.rx_time = int(time.time())
        data = frame(FromRadio(packet=packet, id=0x1000 + at).SerializeToString())
        self._written[text] = time.perf_counter()
        self._port.noise(data)
