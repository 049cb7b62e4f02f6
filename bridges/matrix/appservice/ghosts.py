# SPDX-License-Identifier: GPL-3.0-or-later
"""Ghosts on the homeserver: registered when they first speak, with a name, a picture and a device."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from http import HTTPStatus
from weakref import WeakValueDictionary

import structlog

from bridges.matrix.appservice.avatars import STYLE, avatar
from bridges.matrix.appservice.names import Ghost, bare_ghost, is_ghost
from bridges.matrix.appservice.registry import Record, Registry
from bridges.matrix.client import Client, Refused
from bridges.matrix.convert import localpart as localpart_of
from bridges.matrix.wire import text
from gateway.model import AuthFailed, BridgeContext, BridgeError

log = structlog.get_logger()

DEVICE = "CROSSBAND"
"""Every ghost's device: the homeserver remembers transaction ids by it, also across its restarts."""
RENAME_EVERY_MS = 60 * 60_000
"""Each rename is an event in every room the ghost is in."""
AT_ONCE = 4
"""Ghosts that are registered, or join, at the same time: Synapse lets about 16 a second join."""
OWN_PICTURE = "-"


class Ghosts:
    """Makes the ghosts of one homeserver, and brings them into rooms. Whatever is lost is asked for anew."""

    def __init__(self, client: Client, context: BridgeContext, server_name: str) -> None:
        self._client = client
        self._context = context
        self._server_name = server_name
        self._registry = Registry(context.state_dir / "ghosts.json")
        self._busy = asyncio.Semaphore(AT_ONCE)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._registry)

    def user_id(self, localpart: str) -> str:
        """Return the user id of a ghost."""
        return f"@{localpart}:{self._server_name}"

    def localpart(self, user_id: str) -> str | None:
        """Return the ghost's localpart if this user is one, whichever box made it; else None."""
        local = localpart_of(user_id)
        return local if is_ghost(local) and user_id == self.user_id(local) else None

    async def ensure(self, ghost: Ghost) -> Client:
        """Return a client that speaks as this ghost, which is there, named and drawn; fails as `Client.post` does."""
        await self._registry.read()
        lock = self._locks.setdefault(ghost.localpart, asyncio.Lock())
        async with lock:
            record = self._registry.get(ghost.localpart)
            if record is None or self._is_due(ghost, record):
                async with self._busy:
                    record = record or await self._register(ghost.localpart)
                    record = await self._dress(ghost, record)
                await self._registry.save(self._context.clock.monotonic())
        return self._client.acting_as(self.user_id(ghost.localpart), record.device_id)

    async def ensure_bare(self, localpart: str) -> Client:
        """Do the same for a ghost of which only the localpart is known; ValueError if it can't be one."""
        ghost = bare_ghost(localpart)
        if ghost is None:
            raise ValueError(localpart)
        await self._registry.read()
        record = self._registry.get(localpart)
        return await self.ensure(replace(ghost, name=record.name) if record and record.name else ghost)

    async def registered(self, localpart: str) -> Client:
        """Return a client that speaks as this ghost, of which nothing more is made; fails as `Client.post` does."""
        if not await self.knows(localpart):
            await register(self._client, localpart)
        return self._client.acting_as(self.user_id(localpart))

    async def knows(self, localpart: str) -> bool:
        """Whether this ghost has spoken, or was about to."""
        await self._registry.read()
        return self._registry.get(localpart) is not None

    async def join(self, localpart: str, room_id: str) -> None:
        """Bring a ghost that is there into a room, by our invitation where it takes one; fails as `Client.post`."""
        ghost = self._client.acting_as(self.user_id(localpart))
        async with self._busy:
            try:
                await ghost.post("rooms", room_id, "join", body={})
            except Refused as refused:
                if refused.status != HTTPStatus.FORBIDDEN:
                    raise
                await self._client.post("rooms", room_id, "invite", body={"user_id": ghost.user_id})
                await ghost.post("rooms", room_id, "join", body={})
        log.info("matrix_ghost_joined", bridge=self._context.name, ghost=localpart, room=room_id)

    def forget(self, localpart: str) -> None:
        """Register the ghost anew at the next occasion: the homeserver may be another than it was."""
        self._registry.forget(localpart)

    async def save(self) -> None:
        """Write down what is known."""
        await self._registry.save()

    async def _register(self, localpart: str) -> Record:
        user_id = self.user_id(localpart)
        if await register(self._client, localpart):
            self._context.count("matrix_ghost_registered")
            looks = Record()
        else:
            profile = await self._client.get("profile", user_id)
            looks = Record(
                name=text(profile.get("displayname")), avatar=OWN_PICTURE if profile.get("avatar_url") else ""
            )
        device_id = await make_device(self._client.acting_as(user_id), DEVICE)
        record = replace(looks, device_id=device_id)
        self._registry.put(localpart, record)
        return record

    def _is_due(self, ghost: Ghost, record: Record) -> bool:
        return record.avatar not in (STYLE, OWN_PICTURE) or self._is_rename_due(ghost, record)

    def _is_rename_due(self, ghost: Ghost, record: Record) -> bool:
        # A clock that was set back must not keep a name for years.
        return ghost.name != record.name and abs(self._context.clock.now_ms() - record.named_ms) >= RENAME_EVERY_MS

    async def _dress(self, ghost: Ghost, record: Record) -> Record:
        """Give it its name and picture; without them it speaks all the same."""
        client = self._client.acting_as(self.user_id(ghost.localpart), record.device_id)
        if self._is_rename_due(ghost, record) and await self._is_done(_name(client, ghost)):
            record = replace(record, name=ghost.name, named_ms=self._named_ms(ghost))
        if record.avatar not in (STYLE, OWN_PICTURE) and await self._is_done(_draw(client, ghost)):
            record = replace(record, avatar=STYLE)
        self._registry.put(ghost.localpart, record)
        return record

    async def _is_done(self, change: Awaitable[None]) -> bool:
        """Whether it is no use to try that again."""
        try:
            await change
        except AuthFailed:
            raise
        except BridgeError as error:  # also of a media repository that is down or full: words go on without
            self._context.count("matrix_ghost_profile_refused")
            log.warning("matrix_ghost_profile_refused", bridge=self._context.name, reason=str(error))
            return isinstance(error, Refused)
        return True

    def _named_ms(self, ghost: Ghost) -> int:
        """Return when it was named: one that is called after its id gets a real name as soon as there is one."""
        return 0 if ghost == bare_ghost(ghost.localpart) else self._context.clock.now_ms()


async def _name(client: Client, ghost: Ghost) -> None:
    await client.put("profile", client.user_id, "displayname", body={"displayname": ghost.name})


async def _draw(client: Client, ghost: Ghost) -> None:
    uri = await client.upload(avatar(ghost.localpart), "image/png")
    await client.put("profile", client.user_id, "avatar_url", body={"avatar_url": uri})


async def register(client: Client, localpart: str) -> bool:
    """Make the user; False if it is there already. Fails as `Client.post` does."""
    wish = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
    try:
        await client.acting_as("").post("register", body=wish)
    except Refused as refused:
        if refused.errcode != "M_USER_IN_USE":
            raise
        return False
    return True


async def make_device(client: Client, device_id: str) -> str:
    """Return the id of the user's device, made without a login (MSC4190); empty if the homeserver can't do that."""
    try:
        await client.put("devices", device_id, body={"display_name": "Crossband"})
    except Refused as refused:
        if refused.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
            raise
        log.warning("matrix_no_device", user=client.user_id, reason=str(refused))
        return ""
    return device_id
