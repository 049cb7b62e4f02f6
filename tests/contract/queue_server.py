# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Valkey for the outbox's tests: missing here they skip, missing in CI they fail."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.model import StoreRefused
from gateway.outbox.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The url of one embedded server."""
    with tempfile.TemporaryDirectory(prefix="xb") as folder, asyncio.Runner() as runner:
        server = EmbeddedServer(Path(folder) / "queue", Path(folder) / "run")
        try:
            task = runner.run(start(server))
        except StoreRefused as refusal:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(refusal))
        yield server.url
        runner.run(stop(server, task))


async def start(server: EmbeddedServer) -> asyncio.Task[None]:
    await server.__aenter__()
    task = asyncio.create_task(server.run())
    async with asyncio.timeout(10):
        await server.ready.wait()
    return task


async def stop(server: EmbeddedServer, task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    await server.__aexit__(None, None, None)
