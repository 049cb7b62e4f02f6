# SPDX-License-Identifier: GPL-3.0-or-later
"""Real services as fixtures, for a conftest to import: a homeserver, and people on it."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridges.sim.synapse import PYTHON_VARIABLE, Account, Synapse, synapse_python


def synapse_or_skip() -> Path:
    """Return Synapse's interpreter; without one skip on a laptop, fail in CI."""
    python = synapse_python()
    if python is None:
        reason = f"no Synapse: `make test` installs one, or name its interpreter in {PYTHON_VARIABLE}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return python


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def synapse(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Synapse]:
    """One homeserver in memory for all tests of a session: make your own users and rooms on it."""
    async with Synapse(tmp_path_factory.mktemp("synapse"), python=synapse_or_skip()) as server:
        yield server


@pytest_asyncio.fixture
async def own_synapse(tmp_path: Path) -> AsyncIterator[Synapse]:
    """A homeserver of the test's own with a file database, to stop, kill and start again."""
    async with Synapse(tmp_path / "synapse", python=synapse_or_skip(), database="file") as server:
        yield server


def forget_transactions(server: Synapse) -> int:
    """Let a homeserver that is down forget all transaction ids, as after a day; return how many it knew."""
    with closing(sqlite3.connect(server.folder / "homeserver.db")) as database, database:
        return database.execute("DELETE FROM event_txn_id_device_id").rowcount


@dataclass(kw_only=True)
class Person:
    """Somebody with a Matrix client: matrix-nio's own calls, nothing of the bridge's."""

    account: Account
    client: Any  # nio.AsyncClient
    _since: str = field(default="")

    @property
    def id(self) -> str:
        return self.account.user_id

    async def create_room(self, *, invite: tuple[str, ...] = (), alias: str | None = None, **more: Any) -> str:
        made = await self.client.room_create(alias=alias, invite=invite, **more)
        return str(made.room_id)

    async def say(self, room_id: str, body: str, **content: Any) -> str:
        return await self.put(room_id, "m.room.message", {"msgtype": "m.text", "body": body, **content})

    async def put(self, room_id: str, type_: str, content: dict[str, Any]) -> str:
        sent = await self.client.room_send(room_id, type_, content)
        assert hasattr(sent, "event_id"), sent
        return str(sent.event_id)

    async def state(self, room_id: str, type_: str, content: dict[str, Any], key: str = "") -> None:
        sent = await self.client.room_put_state(room_id, type_, content, state_key=key)
        assert hasattr(sent, "event_id"), sent

    async def events(self, room_id: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """Return the room's last events, oldest first."""
        page = await self.client.room_messages(room_id, None, limit=limit)
        return [event.source for event in reversed(page.chunk)]

    async def heard(self, room_id: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """Return the last messages of others in the room, oldest first."""
        events = await self.events(room_id, limit=limit)
        return [event for event in events if event["type"] == "m.room.message" and event["sender"] != self.id]


async def person(server: Synapse, name: str, *, displayname: str | None = None) -> Person:
    """Return a new user with a client; the name gets a random end, so tests don't meet. Close its client."""
    import nio

    account = await server.register_user(f"{name}-{secrets.token_hex(3)}")
    config = nio.AsyncClientConfig(max_timeouts=5, encryption_enabled=False)
    client = nio.AsyncClient(server.url, account.user_id, config=config)
    client.user_id, client.access_token = account.user_id, account.access_token
    if displayname is not None:
        await client.set_displayname(displayname)
    return Person(account=account, client=client)


@dataclass(kw_only=True)
class Town:
    """A room with one person in it, and an account for the gateway that is invited."""

    server: Synapse
    ali: Person
    bot: Account
    room_id: str
    alias: str


async def build_town(server: Synapse) -> Town:
    """Return a fresh `Town`; close ``ali.client`` when done."""
    ali = await person(server, "ali", displayname="Ali")
    bot = await server.register_user(f"crossband-{secrets.token_hex(3)}")
    alias = f"town-{secrets.token_hex(3)}"
    room_id = await ali.create_room(invite=(bot.user_id,), alias=alias)
    return Town(server=server, ali=ali, bot=bot, room_id=room_id, alias=f"#{alias}:{server.server_name}")


@pytest_asyncio.fixture
async def town(synapse: Synapse) -> AsyncIterator[Town]:
    """A fresh room on the session's homeserver."""
    made = await build_town(synapse)
    yield made
    await made.ali.client.close()
