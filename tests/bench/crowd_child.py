# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway, as it is, with one more kind of bridge, ``crowd``: many radio nodes, told what to say: `PARENT CONFIG`.

What they say comes as JSON lines on a unix socket: ``{"node", "room", "body"}``. It ends with who started it.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Self

from gateway import service, telemetry
from gateway.config import load
from gateway.model import (
    Address,
    BridgeContext,
    BridgeKind,
    Capabilities,
    Message,
    NativeId,
    Receipt,
    RemoteId,
    Sender,
    SenderId,
    Text,
)
from gateway.registry import Registry

_PR_SET_PDEATHSIG = 1


class CrowdBridge:
    """Yields what it is told; what it is to send goes nowhere."""

    def __init__(self, context: BridgeContext) -> None:
        self.name = context.name
        self.capabilities = Capabilities(room_for=lambda *_: 200)
        self._context = context
        self._said: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._numbers = itertools.count()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._listen, str(self._context.table["socket"]))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def receive(self) -> AsyncGenerator[Message]:
        while True:
            said = await self._said.get()
            number = next(self._numbers)
            yield Message(
                native_id=NativeId(f"crowd:{number}"),
                origin=Address(self.name, said["room"]),
                sender=Sender(id=SenderId(said["node"]), name=f"Node {said['node'][1:]}"),
                content=Text(body=said["body"]),
                received_ms=self._context.clock.now_ms(),
                remote_id=RemoteId(f"{number}"),
            )

    async def send(self, message: Message, to: Address, *, key: str) -> Receipt:
        del message, to
        return Receipt(remote_id=RemoteId(key))

    async def _listen(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self._said.put_nowait(json.loads(line))


def main(parent: int, config: Path) -> int:
    """Run until SIGTERM."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    installed = Registry.installed()
    kinds = {name: partial(installed.kind, name) for name in installed.names}
    crowd = BridgeKind(create=CrowdBridge, check=lambda _: frozenset())
    registry = Registry({**kinds, "crowd": lambda: crowd})
    settings = load(config, {}, registry=registry)
    telemetry.configure(settings.log.level, settings.log.format)
    return service.run(settings, registry=registry)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
