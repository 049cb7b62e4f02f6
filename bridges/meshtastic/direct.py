# SPDX-License-Identifier: GPL-3.0-or-later
"""Speaks to a radio from the command line, while no gateway does: opens its port itself, and lets go of it."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from bridges.meshtastic.bridge import MeshtasticBridge
from gateway.model import Alteration, BridgeContext, BridgeName, LinkDown, RoutedConversation

AGAIN_S = 1.0
UP_WITHIN_S = 130.0


class WallClock:
    """Time as it is."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


@asynccontextmanager
async def radio(
    name: BridgeName, table: Mapping[str, Any], conversations: Sequence[str] = ()
) -> AsyncIterator[MeshtasticBridge]:
    """Build the bridge of a table, with nothing of the gateway's; it is not opened yet."""
    with tempfile.TemporaryDirectory(prefix="crossband-radio-") as folder:
        context = BridgeContext(
            name=name,
            table=table,
            state_dir=Path(folder),
            clock=WallClock(),
            random=random.SystemRandom(),
            conversations=tuple(RoutedConversation(name=each) for each in conversations),
        )
        yield MeshtasticBridge(context)


async def adjust(bridge: MeshtasticBridge, wanted: Mapping[str, str]) -> Sequence[Alteration]:
    """Set it, through the restarts that follow; as `Adjustable.adjust`."""
    up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    keeper = asyncio.create_task(_keep_up(bridge, up), name="radio is kept up")
    try:
        async with asyncio.timeout(UP_WITHIN_S):
            await up
        return await bridge.adjust(wanted)
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper


async def _keep_up(bridge: MeshtasticBridge, up: asyncio.Future[None]) -> None:
    while True:
        try:
            async with bridge:
                if not up.done():
                    up.set_result(None)
                async for _ in bridge.receive():
                    pass  # nobody is there to take it; the restart would lose it too
        except LinkDown as error:
            if not up.done():
                up.set_exception(error)
                return
        await asyncio.sleep(AGAIN_S)
