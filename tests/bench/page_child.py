# SPDX-License-Identifier: GPL-3.0-or-later
"""The chat page in a process of its own, over a hall in memory: prints its port, and serves until it is killed."""

from __future__ import annotations

import asyncio

from tests.browsing import served
from tests.halls import MemoryHall


async def main() -> None:
    """Serve."""
    hall = MemoryHall()
    for number in range(200):
        hall.hear(f"something that was said before, number {number}")
    async with served(hall) as port:
        print(port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
