# SPDX-License-Identifier: GPL-3.0-or-later
"""Three boxes in a row, A - B - C: how long a word takes to the far end, and all of it after whatever befell them."""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.lan_faults import backlog, cut, joined, killed, tail_lost
from tests.lan_row import Carrier, EthernetLink, Row, ethernet_row, loopback_row
from tests.segments import why_no_networks

WORDS = 200
WITHIN_S = 30.0
CUT_S = 25.0
"""Long enough that who can't reach the other tries as seldom as it ever does."""


def lan_over() -> str:
    """Return over what it is measured, in words."""
    reason = why_no_networks()
    return f"loopback and relays ({reason})" if reason else "Ethernet of network namespaces"


async def lan_mesh(folder: Path) -> dict[str, float]:
    """Return `lan_p50_ms`, from A's radio to C's core, and `lan_heal_s`, from the link's return: the worst fault's."""
    async with _row(folder / "words") as row:
        await joined(row)
        p50_ms = statistics.median([await _word(row, number) for number in range(WORDS)])
    links = {"silent": EthernetLink} if why_no_networks() else {"silent": EthernetLink, "carrier": Carrier}
    cuts = {f"{name} cut": _heal(folder / name, link, cut) for name, link in links.items()}
    # Each of these waits most of the time, so they need not wait for each other; the backlog works.
    kills = {fault.__name__: _heal(folder / fault.__name__, EthernetLink, fault) for fault in (killed, tail_lost)}
    healed_s = dict(zip([*cuts, *kills], await asyncio.gather(*cuts.values(), *kills.values()), strict=True))
    healed_s["backlog"] = await _heal(folder / "backlog", EthernetLink, backlog)
    print("healed in s:", {name: round(took_s, 1) for name, took_s in healed_s.items()}, file=sys.stderr, flush=True)
    return {"lan_p50_ms": p50_ms, "lan_heal_s": max(healed_s.values())}


async def _heal(folder: Path, link: type[EthernetLink], fault: Callable[[Row, float], Awaitable[float]]) -> float:
    async with _row(folder, link) as row:
        return await fault(row, CUT_S)


@asynccontextmanager
async def _row(folder: Path, link: type[EthernetLink] = EthernetLink) -> AsyncIterator[Row]:
    async with loopback_row(folder) if why_no_networks() else ethernet_row(folder, link) as row:
        yield row


async def _word(row: Row, number: int) -> float:
    """Return how long a packet takes from A's radio to C's core, in ms."""
    began_s = await row.a.ask("radio", "0badcafe", number, 1)
    async with asyncio.timeout(WITHIN_S):
        while (came_s := await row.c.ask("at_s", f"0badcafe {number}")) is None:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.05)
    return 1000 * (float(came_s) - began_s)
