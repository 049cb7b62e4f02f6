# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured on a gateway that runs as its own process, with a radio on a PTY and a stub of a homeserver.

Radio and homeserver live in this process, which does nothing else meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridges.sim.box import GatewayBox, Wiring
from bridges.sim.ports import PtyPort
from tests.bench.stub_homeserver import ALIAS, TOKEN, USER, StubHomeserver
from tests.bench.talk import Talk, radio

SETTLE_S = 10.0
IDLE_S = 10.0


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[tuple[GatewayBox, PtyPort, StubHomeserver]]:
    """A gateway that isn't started yet, with nothing in its directories, and its two networks."""
    async with StubHomeserver() as homeserver, radio(folder) as port:
        wiring = Wiring(
            homeserver=homeserver.url, user_id=USER, access_token=TOKEN, room=ALIAS, radio=f"serial:{port.path}"
        )
        box = GatewayBox(folder / "box", wiring)
        box.write_config()
        try:
            yield box, port, homeserver
        finally:
            await box.stop()


async def ready(folder: Path) -> float:
    """Seconds from starting the process to its answering /readyz with 200; nothing in its data directory.

    It is asked every 50 ms, so the figure is up to that much too high. The disk cache is warm.
    """
    async with world(folder) as (box, _, _):
        began = time.perf_counter()
        await box.start(until="ready")
        return time.perf_counter() - began


async def latency(folder: Path, texts: int = 200) -> list[float]:
    """Milliseconds from writing a text's frame on the PTY to its PUT request being at the homeserver in full."""
    async with world(folder) as (box, port, homeserver):
        await box.start()
        talk = Talk(port)
        homeserver.put = lambda body, at: talk.came(body.rpartition(": ")[2], at)
        return await talk.hold(texts)


async def idle(folder: Path) -> tuple[float, float, float]:
    """Resident MiB of gateway and Valkey, and percent of one core of both, all bridges up and nothing said.

    The memory after `SETTLE_S` of that, the processor over the `IDLE_S` that follow.
    """
    async with world(folder) as (box, _, _):
        await box.start()
        gateway = box.pid
        assert gateway is not None
        (valkey,) = [child for child in _children(gateway) if "valkey" in _name(child) or "redis" in _name(child)]
        await asyncio.sleep(SETTLE_S)
        resident = [resident_mib(pid) for pid in (gateway, valkey)]
        before, began = cpu_s(gateway) + cpu_s(valkey), time.perf_counter()
        await asyncio.sleep(IDLE_S)
        used = cpu_s(gateway) + cpu_s(valkey) - before
        return resident[0], resident[1], 100 * used / (time.perf_counter() - began)


def _children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")


def resident_mib(pid: int) -> float:
    """Return what a process has resident, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def cpu_s(pid: int) -> float:
    # Fields 14 and 15, user and system time in ticks; the name before them may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
