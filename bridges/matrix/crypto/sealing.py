# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypts what goes into a room, once everybody in it has the key."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from bridges.matrix.client import Refused
from bridges.matrix.convert import ID_KEY
from bridges.matrix.crypto.audience import MEGOLM, Audience, Room
from bridges.matrix.crypto.devices import Devices
from gateway.model import NotThere

if TYPE_CHECKING:
    from bridges.matrix.crypto.machine import Machine
    from bridges.matrix.crypto.room_keys import Device

IN_CLEAR = frozenset({"m.reaction", "com.beeper.message_send_status"})
"""As others do it: a reaction is nothing but a relation, and those are always in clear; mautrix's bridges encrypt
no status either. It holds none of what was said."""
MAX_PLAIN_BYTES = 46_000
"""Encrypted it is a third longer, and the event may have 65,536 bytes."""
AGAIN_S = 15.0


class Sealing:
    """Gives rooms' keys to their members' devices, and encrypts."""

    def __init__(self, audience: Audience, devices: Devices) -> None:
        self._audience = audience
        self._devices = devices
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def seal(self, machine: Machine, room_id: str, type_: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the content of the encrypted event. NotThere where keys can't be given, else as the homeserver."""
        async with self._locks[room_id]:
            room = await self._audience.room(room_id)
            if room.algorithm != MEGOLM:
                raise NotThere(f"the room is encrypted in a way we don't know ({room.algorithm[:40]!r})")
            try:
                await self._give_keys(machine, room_id, room)
            except Refused as refused:
                words = f"the keys of an encrypted room can't be given to its members: {refused}"
                raise NotThere(words, retry_after_s=AGAIN_S) from refused
            sealed = machine.rooms.encrypt(room_id, type_, _fitting(content))
        # Outside too: a repeat is recognised by it even where the key is lost.
        return sealed | ({ID_KEY: content[ID_KEY]} if ID_KEY in content else {})

    async def _give_keys(self, machine: Machine, room_id: str, room: Room) -> None:
        self._devices.want(room.members)
        await self._devices.refresh(machine, room.members)
        recipients = machine.recipients(room.members)
        if must_rotate(machine.rooms.shared_with(room_id), recipients):
            machine.rooms.rotate(room_id, max_age=room.rotation.max_age, max_messages=room.rotation.max_messages)
        missing = recipients - (machine.rooms.shared_with(room_id) or set())
        if not missing:
            return
        await self._devices.begin_sessions(machine, missing)
        session_id = machine.rooms.session_id(room_id)
        for devices, body in machine.rooms.shares(room_id, sorted({user for user, _ in missing})):
            await self._devices.send("m.room.encrypted", body)
            machine.rooms.note_shared(room_id, session_id, devices)


def must_rotate(shared_with: Collection[Device] | None, recipients: Collection[Device]) -> bool:
    """Whether a new key is needed: there is none that is good, or a device has it that should read no more. Pure."""
    return shared_with is None or not set(shared_with) <= set(recipients)


def _fitting(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave the formatted body out where the event would be too large: the body says the same."""
    if len(json.dumps(content, ensure_ascii=False).encode()) <= MAX_PLAIN_BYTES:
        return content
    return {key: value for key, value in content.items() if key not in ("format", "formatted_body")}
