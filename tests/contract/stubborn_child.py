# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway with a bridge that ignores its cancellation, for tests of how a stop ends. Argument: the configuration."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from gateway import service, telemetry
from gateway.config import load
from gateway.model import BridgeKind, Capabilities
from gateway.registry import Registry


class Stubborn:
    """Connects for ever, whatever it is told."""

    def __init__(self, name):
        self.name = name
        self.capabilities = Capabilities(room_for=lambda *_: 200)

    async def __aenter__(self):
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    async def __aexit__(self, *exc):
        """Nothing is open."""


if __name__ == "__main__":
    kind = BridgeKind(create=lambda context: Stubborn(context.name), check=lambda _: frozenset())
    registry = Registry({"stubborn": lambda: kind})
    service.STOP_WITHIN_S = 1.0
    telemetry.configure("info", "json")
    sys.exit(service.run(load(Path(sys.argv[1]), os.environ, registry=registry), registry=registry))
