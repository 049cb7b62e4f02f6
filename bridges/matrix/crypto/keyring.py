# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the keys of the device that the account is logged in with, and never takes new ones in silence."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from bridges.matrix.client import Client
from bridges.matrix.crypto.errors import KeysUnreadable, StoreFailed
from bridges.matrix.crypto.store import database_of, move_aside, prepare
from gateway.model import BridgeContext, NotThere

if TYPE_CHECKING:
    from bridges.matrix.crypto.machine import Machine

log = structlog.get_logger()

_NIO = ("bridges.matrix.crypto.database", "bridges.matrix.crypto.machine")


class Keyring:
    """The device's machine, open or not."""

    def __init__(self, client: Client, context: BridgeContext, folder: Path) -> None:
        self._client = client
        self._context = context
        self._folder = folder
        self.machine: Machine | None = None
        self.lost = ""
        """What became of keys that could not be read, in words; empty: nothing."""

    async def load(self) -> None:
        """Load what only an account with encrypted rooms needs, while others run on."""
        for module in _NIO:
            await asyncio.to_thread(importlib.import_module, module)

    def close(self) -> None:
        """Close the file; what is in memory only is forgotten."""
        machine, self.machine = self.machine, None
        if machine is not None:
            machine.close()

    def opened(self) -> Machine:
        """Return the machine of the device that the token is for; NotThere if its keys can't be used. OSError."""
        device_id = self._client.device_id
        if not device_id:
            raise NotThere("the homeserver doesn't say which device the token is for")
        if self.machine is None or self.machine.device_id != device_id:
            self.close()
            try:
                self.machine = self._read(device_id)
            except KeysUnreadable as unreadable:
                self._give_up(device_id, unreadable)
                self.machine = self._read(device_id)
        return self.machine

    def _read(self, device_id: str) -> Machine:
        from bridges.matrix.crypto.database import open_olm  # noqa: PLC0415 - see `load`
        from bridges.matrix.crypto.machine import Machine  # noqa: PLC0415

        database = database_of(self._folder, device_id)
        is_new = not database.exists()
        lock = prepare(self._folder, database)
        try:
            machine = Machine(open_olm(self._client.user_id, device_id, database, lock))
        except StoreFailed as failed:
            raise NotThere(str(failed)) from failed
        if is_new:
            log.info("matrix_keys_made", bridge=self._context.name, device=device_id)
        return machine

    def _give_up(self, device_id: str, unreadable: KeysUnreadable) -> None:
        moved = move_aside(database_of(self._folder, device_id), self._context.clock.now_ms())
        self.lost = f"{unreadable}: they were moved to {self._folder.name}/{moved}"
        self._context.count("matrix_keys_unreadable")
        log.error("matrix_keys_unreadable", bridge=self._context.name, reason=self.lost)
