# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the embedded server something, in one line: without the queue's client, which may be waiting for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

_SYNC_WITHIN_S: Final = 30.0


async def ask(socket: Path, line: str = "PING", *, within_s: float = 1.0) -> bytes:
    """Return the first line the server answers; nothing if it doesn't."""
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(f"{line}\r\n".encode())
                return await reader.readline()
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return b""


async def sync_by_the_new_time(socket: Path) -> None:
    """Make a server with appendfsync everysec sync every second again after its clock was set back.

    Valkey and Redis look at the wall clock for when they synced last: set back by three days, they would not
    sync for three days. One write with appendfsync always notes the time anew. Steps of their own: what
    comes in one go is synced by what is set at its end.
    """
    for line in ("CONFIG SET appendfsync always", "SET xb:set-back 1", "DEL xb:set-back"):
        await ask(socket, line, within_s=_SYNC_WITHIN_S)
    await ask(socket, "CONFIG SET appendfsync everysec", within_s=_SYNC_WITHIN_S)
