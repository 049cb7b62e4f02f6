# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens encrypted events, and keeps those that can't be opened until their key comes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import structlog

from bridges.matrix.crypto.devices import Devices
from bridges.matrix.crypto.errors import Bogus, Shut
from bridges.matrix.crypto.parking import Parked, Parking
from bridges.matrix.wire import text
from gateway.model import BridgeContext, BridgeError

if TYPE_CHECKING:
    from bridges.matrix.crypto.machine import Machine
    from bridges.matrix.crypto.room_keys import Opened

log = structlog.get_logger()

ASK_WITHIN_S = 15.0


class Opening:
    """What is parked is tried again only when something that it waits for came."""

    def __init__(self, context: BridgeContext, devices: Devices, parking: Parking) -> None:
        self._context = context
        self._devices = devices
        self._parking = parking
        self._keys: set[str] | None = None
        """Sessions whose parked events are to be tried again; None: all."""
        self._senders: set[str] = set()
        self._taken: list[str] = []

    def try_all(self) -> None:
        """Try everything again: we may have ended before what was opened was stored."""
        self._keys = None

    def came(self, keys: Collection[str] = (), senders: Collection[str] = ()) -> None:
        """Note which rooms' keys came, and whose devices became known."""
        if self._keys is not None:
            self._keys.update(keys)
        self._senders.update(senders)

    async def open(
        self, machine: Machine | None, event: Mapping[str, Any], room_id: str, *, is_closed: bool = False
    ) -> Mapping[str, Any] | None:
        """Return the event as it was before it was encrypted; None if it can't be read yet: then it is on disk.

        What makes no sense is returned as it is. `is_closed`: nothing is to be carried from the room as it stands.
        Raises StoreFailed where it can't be kept.
        """
        opened = None if machine is None else await self._opened(machine, event, room_id)
        if opened is None:
            try:
                is_new = self._parking.park(event, room_id, self._context.clock.now_ms(), is_closed=is_closed)
            except RecursionError:  # nested deeper than can be written: no client's work
                return self._bogus(event, room_id, "nested too deep")
            if is_new:
                self._context.count("matrix_parked")
        elif self._parking.count():
            self._taken.append(text(event.get("event_id")))
        return opened

    def taken_back(self, event_id: str, room_id: str) -> None:
        """Note that an event was redacted: if it waits for its key it is nothing to be read any more. StoreFailed."""
        if self._parking.withdraw(event_id, room_id):
            self._context.count("matrix_parked_taken_back")

    async def late(self, machine: Machine) -> list[tuple[Parked, Mapping[str, Any]]]:
        """Return what was kept and can be read now, oldest first, with what is in it."""
        late = []
        for parked in self._parking.waiting(self._keys, self._senders):
            if (opened := await self._opened(machine, parked.event, parked.room_id)) is not None:
                late.append((parked, opened))
                self._taken.append(text(parked.event.get("event_id")))
                self._context.count("matrix_decrypted_late")
        return late

    def taken(self) -> None:
        """Note that all that was opened is stored."""
        taken, self._taken = self._taken, []
        self._parking.remove(taken)
        self._keys = set()
        self._senders.clear()

    async def _opened(self, machine: Machine, event: Mapping[str, Any], room_id: str) -> Mapping[str, Any] | None:
        try:
            opened = await self._decrypted(machine, event, room_id)
        except Shut:
            return None
        except Bogus as bogus:
            return self._bogus(event, room_id, str(bogus))
        return {**event, "type": opened.type, "content": opened.content}

    def _bogus(self, event: Mapping[str, Any], room_id: str, reason: str) -> Mapping[str, Any]:
        self._context.count("matrix_encrypted_bogus")
        log.warning("matrix_encrypted_bogus", bridge=self._context.name, room=room_id, reason=reason)
        return event

    async def _decrypted(self, machine: Machine, event: Mapping[str, Any], room_id: str) -> Opened:
        try:
            return machine.rooms.decrypt(event, room_id)
        except Shut as shut:
            if not shut.unknown_device:
                raise
        await self._ask_for_devices(machine, text(event.get("sender")))
        return machine.rooms.decrypt(event, room_id)

    async def _ask_for_devices(self, machine: Machine, sender: str) -> None:
        self._devices.want((sender,))
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                await self._devices.refresh(machine, (sender,))
        except (BridgeError, TimeoutError) as error:
            log.warning("matrix_devices_unknown", bridge=self._context.name, user=sender, reason=str(error))
