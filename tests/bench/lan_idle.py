# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeping up with other boxes costs while nobody says anything: processor of a box, bytes per other box."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.running import cpu_s
from tests.lan_row import BoxProcess, Relays, ethernet_crowd, loopback_row
from tests.segments import why_no_networks

BOXES = 20
SETTLE_S = 40.0
"""By then each has found all others."""
IDLE_S = 60.0


async def lan_idle(folder: Path, boxes: int = BOXES) -> dict[str, float]:
    """Return `lan_idle_cpu_percent` and `lan_idle_bytes_per_s`: of the box that has most to do.

    Twenty boxes on one switch, counted at their cables with all that TCP and Ethernet add; without root three in a
    row, counted at the relays between B and C.
    """
    if why_no_networks():
        async with loopback_row(folder / "row") as row:
            link = row.link
            assert isinstance(link, Relays)
            return await _idle(row.boxes, lambda: [link.carried], 1)
    async with ethernet_crowd(folder / "crowd", boxes) as crowd:
        return await _idle(crowd, lambda: [box.host.carried() for box in crowd if box.host], boxes - 1)


async def _idle(boxes: Sequence[BoxProcess], carried: Callable[[], list[int]], peers: int) -> dict[str, float]:
    await asyncio.sleep(SETTLE_S)
    states = await asyncio.gather(*(box.ask("state") for box in boxes))
    if any(len(each["live"]) != len(boxes) for each in states):
        raise RuntimeError(f"{len(boxes)} boxes didn't find each other: {states}")
    began, bytes_before, cpu_before = time.perf_counter(), carried(), [cpu_s(box.pid) for box in boxes]
    await asyncio.sleep(IDLE_S)
    took_s = time.perf_counter() - began
    used_s = [cpu_s(box.pid) - before for box, before in zip(boxes, cpu_before, strict=True)]
    more = [now - before for now, before in zip(carried(), bytes_before, strict=True)]
    return {
        "lan_idle_cpu_percent": 100 * max(used_s) / took_s,
        "lan_idle_bytes_per_s": max(more) / took_s / peers,
    }
