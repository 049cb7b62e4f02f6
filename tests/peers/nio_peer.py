# SPDX-License-Identifier: GPL-3.0-or-later
"""matrix-nio as the client of a user, with the surface of `JsPeer`: what one says and sees, the other can too."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bridges.sim.synapse import Account
from tests.peers.js_peer import WITHIN_S, Sight


class NioPeer:
    """One user with a device that nobody signed, as nio has it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._changed = asyncio.Condition()
        self._keys = asyncio.Lock()
        self.seen: dict[str, Sight] = {}
        self.user_id: str = client.user_id

    async def join(self, room_id: str) -> None:
        joined = await self._client.join(room_id)
        assert hasattr(joined, "room_id"), joined

    async def say(self, room_id: str, body: str, **content: Any) -> str:
        return await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": body, **content})

    async def send(self, room_id: str, type_: str, content: dict[str, Any]) -> str:
        async with asyncio.timeout(WITHIN_S):
            while room_id not in self._client.rooms:  # it is encrypted or not as the sync says
                await asyncio.sleep(0.05)
        async with self._keys:
            sent = await self._client.room_send(room_id, type_, content, ignore_unverified_devices=True)
        assert hasattr(sent, "event_id"), sent
        return str(sent.event_id)

    async def redact(self, room_id: str, event_id: str) -> str:
        return str((await self._client.room_redact(room_id, event_id)).event_id)

    async def upload(self, data: bytes, *, mimetype: str, name: str) -> str:
        """Upload a file; return its ``mxc://``."""
        answer, _ = await self._client.upload(
            lambda *_: io.BytesIO(data), content_type=mimetype, filename=name, filesize=len(data)
        )
        return str(answer.content_uri)

    async def wait_for(self, wanted: Callable[[Sight], bool], *, timeout_s: float = WITHIN_S) -> Sight:
        """Return the first event, now or to come, that looks so."""
        async with asyncio.timeout(timeout_s), self._changed:
            while True:
                found = next((sight for sight in self.seen.values() if wanted(sight)), None)
                if found is not None:
                    return found
                await self._changed.wait()

    async def watch(self) -> None:
        """Sync for ever, and keep the house: nio does that only in a loop of its own, which can't be stopped."""
        while True:
            await self.sync(timeout_ms=20_000)

    async def sync(self, *, timeout_ms: int = 0) -> None:
        answer = await self._client.sync(timeout=timeout_ms or 1)
        assert hasattr(answer, "next_batch"), answer
        async with self._keys:
            await self._client.send_to_device_messages()
            if self._client.should_upload_keys:
                await self._client.keys_upload()
            if self._client.should_query_keys:
                await self._client.keys_query()
        async with self._changed:
            for room_id, room in answer.rooms.join.items():
                for event in room.timeline.events:
                    self._see(room_id, event)
            self._changed.notify_all()

    def _see(self, room_id: str, event: Any) -> None:
        from nio import MegolmEvent

        source = event.source
        content, is_sealed = source.get("content", {}), event.decrypted or isinstance(event, MegolmEvent)
        self.seen[event.event_id] = Sight(
            event_id=event.event_id,
            room_id=room_id,
            sender=event.sender,
            type=source.get("type", ""),
            content=content,
            wire_type="m.room.encrypted" if is_sealed else source.get("type", ""),
            wire_content={} if event.decrypted else content,
            state_key=source.get("state_key"),
            relation=content.get("m.relates_to"),
            redacts=source.get("redacts", content.get("redacts")),
            failure="undecryptable" if isinstance(event, MegolmEvent) else None,
            shield="none" if event.decrypted else "unencrypted",
            ts=source.get("origin_server_ts", int(time.time() * 1000)),
        )


@asynccontextmanager
async def nio_peer(homeserver: str, account: Account, folder: Path) -> AsyncIterator[NioPeer]:
    """A peer logged in as this user, for the length of the block."""
    import nio

    folder.mkdir(parents=True)
    config = nio.AsyncClientConfig(encryption_enabled=True, store_sync_tokens=False, max_timeouts=5)
    client = nio.AsyncClient(homeserver, account.user_id, store_path=str(folder), config=config)
    client.restore_login(account.user_id, account.device_id, account.access_token)
    peer = NioPeer(client)
    await peer.sync()
    watching = asyncio.create_task(peer.watch())
    try:
        yield peer
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await client.close()
        client.olm.store.database.close()
