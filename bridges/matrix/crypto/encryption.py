# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bridge asks of end-to-end encryption: open what comes, seal what goes, and keep the keys in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.config import MatrixConfig
from bridges.matrix.convert import redacted_by
from bridges.matrix.crypto.audience import MEGOLM, Audience
from bridges.matrix.crypto.complaints import Complaints
from bridges.matrix.crypto.devices import Devices
from bridges.matrix.crypto.errors import KeyExpired, StoreFailed
from bridges.matrix.crypto.identity import Identity
from bridges.matrix.crypto.keyring import Keyring
from bridges.matrix.crypto.opening import Opening
from bridges.matrix.crypto.parking import Parked, Parking
from bridges.matrix.crypto.sealing import AGAIN_S, IN_CLEAR, Sealing
from bridges.matrix.login import read_secret
from bridges.matrix.notices import Notices
from bridges.matrix.plain import valid_id
from bridges.matrix.rooms import Rooms
from bridges.matrix.sync import KeyNews, RoomNews
from bridges.matrix.wire import mapping, text
from gateway.model import AuthFailed, BridgeContext, BridgeError, LinkDown, NotThere, RateLimited

log = structlog.get_logger()

TEND_WITHIN_S = 20.0
"""How long the housekeeping between two syncs may hold up the next."""
TEND_AGAIN_S = 30.0
"""After it failed."""


class Encryption:
    """One account's encrypted rooms; where the configuration allows none, everything passes as it is.

    `take` must be told of every sync before its token is kept: what is sent to a device is sent once.
    """

    def __init__(
        self, client: Client, config: MatrixConfig, context: BridgeContext, rooms: Rooms, notices: Notices
    ) -> None:
        folder = context.state_dir / "crypto"
        self._client = client
        self._config = config
        self._context = context
        self._rooms = rooms
        self._keyring = Keyring(client, context, folder)
        now_s = context.clock.monotonic
        self._identity = Identity(
            client, folder, password=lambda: _password(config), mend=_mend(config, context), now_s=now_s
        )
        self._audience = Audience(client)
        self._devices = Devices(client, now_s)
        self._sealing = Sealing(self._audience, self._devices)
        self._parking = Parking(folder / "parked.db", self._gave_up)
        self._opening = Opening(context, self._devices, self._parking)
        self._complaints = Complaints(context, rooms, notices, self._parking, is_said=config.shown.says_failures)
        self._trouble = ""
        self._tend_at_s = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the configuration allows any encrypted room, be it only where people in it agree."""
        return self._config.allow_encrypted is not False

    async def connected(self) -> None:
        """Open the keys and make the device known; what keeps it from that is in `facts`, and tried again.

        Called after each login, before anything is said in a room.
        """
        if not self.is_on:
            return
        await self._keyring.load()
        self._audience.forget()
        self._identity.connected()
        self._opening.try_all()
        self._tend_at_s = 0.0
        self._client.seal = self._seal
        await self.tend()

    def close(self) -> None:
        """Close all files."""
        self._keyring.close()
        self._parking.close()

    def take(self, news: KeyNews) -> None:
        """Take in what a sync says to the device. On disk when this returns; LinkDown where it can't be written."""
        if not self.is_on:
            return
        self._devices.changed(news.changed)
        self._devices.left(news.left)
        machine = self._keyring.machine
        if machine is None:
            if news.to_device:
                raise LinkDown(f"keys came that can't be kept: {self._trouble or 'no device'}")
            return
        machine.note_key_count(news.one_time_keys, has_fallback=news.has_fallback_key)
        for code in _withheld(news.to_device):
            self._context.count(f"matrix_keys_withheld_{code}")
        with self._needing_disk():
            taken = machine.take(news.to_device)
        for _ in range(taken.unreadable):
            self._context.count("matrix_key_messages_unreadable")
        self._opening.came(taken.keys)

    def see(self, news: RoomNews) -> None:
        """Take note of who came and went."""
        if news.prev_batch:  # with lazily loaded members it doesn't say who went meanwhile
            self._audience.forget(news.room_id)
            return
        for event in (*news.state, *news.events):
            self._audience.see(news.room_id, event)

    def left(self, room_id: str) -> None:
        """Note that we are out of a room: who comes and goes there isn't told any more."""
        self._audience.forget(room_id)

    def missed(self) -> None:
        """Note that a part of the stream is gone: whoever's devices changed meanwhile wasn't told."""
        self._devices.forget()
        self._audience.forget()
        self._identity.connected()

    def is_sealed(self, event: object) -> bool:
        """Whether it is somebody's encrypted event, where that is of interest."""
        seen = mapping(event)
        return (
            self.is_on
            and seen.get("type") == "m.room.encrypted"
            and seen.get("sender") != self._client.user_id
            and mapping(seen.get("content")).get("algorithm") == MEGOLM
            and valid_id(seen.get("event_id"), "$") is not None
            and valid_id(seen.get("sender"), "@") is not None
        )

    async def open(self, event: object, room_id: str) -> object:
        """Return the event as it was before it was encrypted; None if it can't be read yet: then it is kept.

        What isn't encrypted, or makes no sense, is returned as it is. Raises LinkDown where it can't be kept.
        """
        if (target := redacted_by(event)) and self._parking.count():
            with self._needing_disk():
                self._opening.taken_back(target, room_id)
        if not self.is_sealed(event) or not await self._is_encrypted(room_id):
            return event
        with self._needing_disk():
            is_closed = self._rooms.is_closed(room_id)
            return await self._opening.open(self._keyring.machine, mapping(event), room_id, is_closed=is_closed)

    async def late(self) -> Sequence[tuple[Parked, Mapping[str, Any]]]:
        """Return what was kept and can be read now, oldest first, with what is in it."""
        machine = self._keyring.machine
        if machine is None:
            return []
        with self._needing_disk():
            return await self._opening.late(machine)

    def taken(self) -> None:
        """Note that all that was opened since the last time is stored."""
        if (machine := self._keyring.machine) is not None:
            with self._needing_disk():
                machine.rooms.keep_seen()
                self._opening.taken()

    async def tend(self) -> None:
        """Do what is due between two syncs, within `TEND_WITHIN_S`. Never raises BridgeError."""
        if not self.is_on or self._context.clock.monotonic() < self._tend_at_s:
            return
        wait_s = TEND_AGAIN_S
        try:
            async with asyncio.timeout(TEND_WITHIN_S):
                await self._tend()
        except RateLimited as error:
            wait_s = error.retry_after_s or TEND_AGAIN_S
        except TimeoutError:
            self._in_trouble(f"the homeserver didn't answer within {TEND_WITHIN_S:g} s")
        except StoreFailed as failed:
            self._store_failed(failed)
        except (BridgeError, OSError) as error:
            self._in_trouble(str(error))
        else:
            self._trouble, wait_s = "", 0.0
        self._tend_at_s = self._context.clock.monotonic() + wait_s

    def facts(self) -> Mapping[str, str]:
        """Return how it stands: rooms, device, signature, what can't be read and what was lost, in words."""
        if not self.is_on:
            return {}
        rooms, machine = len(self._rooms.encrypted()), self._keyring.machine
        device = machine.device_id if machine else "none"
        words = f"{rooms} room{'' if rooms == 1 else 's'}, device {device}, {self._identity.signing or 'not ready'}"
        facts = {"encrypted": f"{words}; no ghosts there, names stand in the text"}
        if waiting := self._parking.count():
            facts["undecryptable"] = f"{waiting} waiting for their keys"
        if self._trouble:
            facts["encryption"] = self._trouble
        return facts | ({"keys_lost": self._keyring.lost} if self._keyring.lost else {})

    async def _tend(self) -> None:
        self._parking.open()
        if self._keyring.machine is None:
            self._opening.try_all()
        machine = self._keyring.opened()
        await self._identity.publish(machine)
        self._opening.came(senders=await self._devices.refresh(machine))
        await self._devices.mend_sessions(machine)
        self._parking.expire(self._context.clock.now_ms())
        await self._complaints.tell()

    async def _seal(self, room_id: str, type_: str, content: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        if type_ in IN_CLEAR or not await self._rooms.is_encrypted(room_id):
            return type_, content
        machine = self._keyring.machine
        if machine is None or not machine.is_published or self._identity.is_foreign:
            raise NotThere(self._trouble or "the keys of the device aren't ready", retry_after_s=AGAIN_S)
        try:
            return "m.room.encrypted", await self._sealing.seal(machine, room_id, type_, content)
        except KeyExpired:
            raise NotThere("the room's key has just expired", retry_after_s=1.0) from None
        except StoreFailed as failed:
            self._store_failed(failed)
            raise NotThere(str(failed), retry_after_s=AGAIN_S) from failed

    async def _is_encrypted(self, room_id: str) -> bool:
        """Also of rooms from which nothing is carried: there people may still give commands."""
        try:
            return await self._rooms.is_encrypted(room_id)
        except Refused:  # we are out of it by now
            return False

    @contextmanager
    def _needing_disk(self) -> Iterator[None]:
        """Turn a disk that can't be written into a lost link: then the same is asked for again."""
        try:
            yield
        except StoreFailed as failed:
            self._store_failed(failed)
            raise LinkDown(str(failed)) from failed

    def _store_failed(self, failed: StoreFailed) -> None:
        self._keyring.close()  # what is in memory is ahead of the disk: it is read anew
        self._in_trouble(str(failed))

    def _in_trouble(self, reason: str) -> None:
        if reason != self._trouble:
            log.warning("matrix_encryption_trouble", bridge=self._context.name, reason=reason)
        self._trouble = reason
        self._context.count("matrix_encryption_trouble")

    def _gave_up(self) -> None:
        self._context.count("matrix_undecryptable_lost")
        log.warning("matrix_undecryptable_lost", bridge=self._context.name)


_CODES = frozenset({"m.blacklisted", "m.unverified", "m.unauthorised", "m.unavailable", "m.no_olm"})


def _withheld(to_device: Sequence[Any]) -> Iterator[str]:
    for event in map(mapping, to_device):
        if event.get("type") == "m.room_key.withheld":
            code = text(mapping(event.get("content")).get("code"))
            yield code.removeprefix("m.") if code in _CODES else "other"


def _password(config: MatrixConfig) -> str | None:
    try:
        return None if config.password_file is None else read_secret(config.password_file)
    except AuthFailed:
        return None


def _mend(config: MatrixConfig, context: BridgeContext) -> str:
    if config.registration_file is not None:
        return "by another device_id in its table"
    if config.password_file is None:
        return "with `crossband matrix login`"
    return f"by removing {context.state_dir / 'login.json'} and starting again"
