# SPDX-License-Identifier: GPL-3.0-or-later
"""Three boxes in a row, A - B - C: how long a word takes to the far end, and all of it after a silent cut."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

from tests.lan_boxes import Cable, LanBox, community, until

WORDS = 200
CUT_S = 25.0
"""Long enough that who can't reach the other tries as seldom as it ever does."""
APART = 1000


async def lan_mesh(folder: Path) -> dict[str, float]:
    """Return `lan_p50_ms` and `lan_heal_s`."""
    async with community(folder, "a", "b", "c") as (a, b, c), Cable(b.address) as cable:
        a.reaches, b.reaches, c.reaches = {b.address}, {a.address}, {cable.address}
        a.mesh.learn(b.address)
        c.mesh.learn(cable.address)
        await until(lambda: _equal(a, b, c))
        # C calls B only, so B can't push to it: the figure is for boxes that reach each other.
        b.reaches = None
        b.mesh.learn(c.address)
        await until(lambda: any(p.is_up and p.box == c.mesh.box for p in b.mesh.places))
        p50_ms = statistics.median([await _word(a, c, number) for number in range(WORDS)])
    (folder / "apart").mkdir()
    return {"lan_p50_ms": p50_ms, "lan_heal_s": await _heal(folder / "apart")}


async def _heal(folder: Path) -> float:
    async with community(folder, "a", "b", "c") as (a, b, c), Cable(b.address) as cable:
        a.reaches, b.reaches, c.reaches = {b.address}, {a.address}, {cable.address}
        a.mesh.learn(b.address)
        c.mesh.learn(cable.address)
        await until(lambda: _equal(a, b, c))
        cable.cut()
        await asyncio.gather(a.say(APART, "a-apart"), c.say(APART, "c-apart"), asyncio.sleep(CUT_S))
        cable.join()
        began = time.perf_counter()
        await until(lambda: _equal(a, b, c), 120)
        heard = await b.heard()
        if len(set(heard)) != 2 * APART or len(heard) != 2 * APART:
            raise RuntimeError(f"{2 * APART} were said, {len(heard)} heard, {len(set(heard))} of them different")
        return time.perf_counter() - began


async def _word(a: LanBox, c: LanBox, number: int) -> float:
    """Return how long it takes from A to C, in ms."""
    native = f"web:word/{number}"
    began = time.perf_counter()
    await a.mesh.append(native, "{}")
    while not await c.mesh.knows(native):
        c.mesh.arrived.clear()
        if not await c.mesh.knows(native):
            await asyncio.wait_for(c.mesh.arrived.wait(), 30)
    took_ms = (time.perf_counter() - began) * 1000
    await asyncio.sleep(0.02)
    return took_ms


def _equal(*boxes: LanBox) -> bool:
    return len({box.mesh.state.have for box in boxes}) == 1
