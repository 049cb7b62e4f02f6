# SPDX-License-Identifier: GPL-3.0-or-later
"""A Matrix bridge that may be in encrypted rooms, and people in them with another client's crypto."""

from __future__ import annotations

import asyncio
import io
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from bridges.matrix import kind
from bridges.matrix.bridge import MatrixBridge
from bridges.sim.synapse import Account, Synapse
from gateway import telemetry
from gateway.model import (
    Address,
    BridgeContext,
    BridgeName,
    Message,
    NativeId,
    Sender,
    SenderId,
    Text,
)
from gateway.model import RoutedConversation as Routed
from tests.peers.js_peer import JsPeer, js_peer

HOME = BridgeName("home")
RADIO = Address(BridgeName("radio"), "LongFast")
PATIENCE_S = 60


class ShiftedClock:
    """Real time, moved on by hand."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_ms(self) -> int:
        return int((time.time() + self.ahead_s) * 1000)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Box:
    """One gateway box's Matrix bridge in one encrypted room, as the core would build and feed it."""

    def __init__(self, server: Synapse, folder: Path, account: Account, room_id: str, **table: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(account.access_token)
        self.account = account
        self.room_id = room_id
        self.to = Address(HOME, room_id)
        self.counts: list[str] = []
        self.last: MatrixBridge
        self.clock = ShiftedClock()
        self.crypto = folder / "crypto"
        self.context = BridgeContext(
            name=HOME,
            table={
                "kind": "matrix",
                "homeserver": server.url,
                "user_id": account.user_id,
                "access_token_file": str(folder / "token"),
                "allow_encrypted": True,
                **table,
            },
            state_dir=folder,
            clock=self.clock,
            random=random.Random(1),
            conversations=(Routed(name=room_id),),
            count=self.counts.append,
        )

    def bridge(self, **changes: Any) -> MatrixBridge:
        bridge = kind.create(replace(self.context, **changes))
        assert isinstance(bridge, MatrixBridge)
        self.last = bridge
        return bridge


@asynccontextmanager
async def listening(bridge: MatrixBridge) -> AsyncIterator[Any]:
    async with asyncio.timeout(PATIENCE_S), bridge, aclosing(bridge.receive()) as items:
        yield items


@asynccontextmanager
async def pumping(bridge: MatrixBridge) -> AsyncIterator[list[Message]]:
    """The bridge connected, and all it yields in a list, each stored at once."""
    got: list[Message] = []

    async def pump() -> None:
        async with aclosing(bridge.receive()) as items:
            async for item in items:
                got.append(item)  # noqa: PERF401 - seen from outside as they come

    async with asyncio.timeout(PATIENCE_S), bridge:
        task = asyncio.create_task(pump())
        try:
            yield got
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(there: Any, what: str = "it") -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not there():
            await asyncio.sleep(0.02)


def radio_says(body: str, *, number: int = 1, name: str = "Bea", **fields: Any) -> Message:
    given: dict[str, Any] = {"content": Text(body=body), "received_ms": int(time.time() * 1000)} | fields
    return Message(
        native_id=NativeId(f"mt:a1b2c301:{number}"),
        origin=RADIO,
        sender=Sender(id=SenderId("!a1b2c301"), name=name),
        **given,
    )


def bodies(messages: list[Message]) -> list[str]:
    return [message.content.body for message in messages if isinstance(message.content, Text)]


async def account(server: Synapse, name: str) -> Account:
    return await server.register_user(f"{name}-{secrets.token_hex(3)}")


async def log_in_anew(server: Synapse, user: Account) -> Any:
    wish = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user.user_id},
        "password": user.password,
    }
    return await server.request("POST", "/_matrix/client/v3/login", wish)


@contextmanager
def logging_to(stream: io.StringIO) -> Iterator[None]:
    """All that is logged, at every level and by every library, as the gateway's own set-up writes it."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    telemetry.configure("debug", "json", stream=stream)
    try:
        yield
    finally:
        root.handlers, root.level = before, level
        structlog.reset_defaults()


class NioPerson:
    """Somebody with matrix-nio's own client and store."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def create_room(self, guest: str) -> str:
        state = [{"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
        made = await self._client.room_create(invite=[guest], initial_state=state)
        return str(made.room_id)

    async def say(self, room_id: str, body: str) -> None:
        while len(self._members(room_id)) < 2:
            await self._sync()
        content = {"msgtype": "m.text", "body": body}
        sent = await self._client.room_send(room_id, "m.room.message", content, ignore_unverified_devices=True)
        assert hasattr(sent, "event_id"), sent

    async def hears(self, body: str) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self._sync()
                events = [event for room in answer.rooms.join.values() for event in room.timeline.events]
                for event in events:
                    if getattr(event, "body", "") == body:
                        return event

    def _members(self, room_id: str) -> Any:
        room = self._client.rooms.get(room_id)
        return [user for user in room.users if user not in room.invited_users] if room else []

    async def _sync(self) -> Any:
        answer = await self._client.sync(timeout=1000)
        if self._client.should_upload_keys:
            await self._client.keys_upload()
        if self._client.should_query_keys:
            await self._client.keys_query()
        return answer


@asynccontextmanager
async def nio_person(server: Synapse, folder: Path) -> AsyncIterator[NioPerson]:
    import nio

    folder.mkdir()
    bea = await account(server, "bea")
    config = nio.AsyncClientConfig(encryption_enabled=True, store_sync_tokens=False)
    client = nio.AsyncClient(server.url, bea.user_id, store_path=str(folder), config=config)
    client.restore_login(bea.user_id, bea.device_id, bea.access_token)
    person = NioPerson(client)
    await person._sync()
    yield person
    await client.close()
    client.olm.store.database.close()


@asynccontextmanager
async def peer_and_box(
    server: Synapse, folder: Path, *, version: str | None = None, settings: dict[str, Any] | None = None, **table: Any
) -> AsyncIterator[tuple[JsPeer, Box]]:
    """Ali at a current client that excludes insecure devices, and the gateway invited into her encrypted room."""
    bot = await account(server, "crossband")
    async with js_peer(server.url, await account(server, "ali")) as ali:
        room_id = await ali.create_room(invite=(bot.user_id,), version=version, settings=settings)
        yield ali, Box(server, folder, bot, room_id, **table)
