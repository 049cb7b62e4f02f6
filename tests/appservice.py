# SPDX-License-Identifier: GPL-3.0-or-later
"""A homeserver that knows the gateway as an application service, and gateway boxes on it."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn

from bridges.matrix import kind
from bridges.matrix.appservice.bridge import AppserviceBridge
from bridges.matrix.appservice.registration import as_text, new_registration
from bridges.sim.loopback import LOOPBACK, free_port
from bridges.sim.synapse import Synapse
from gateway.clock import SystemClock
from gateway.model import (
    Address,
    BridgeContext,
    BridgeName,
    LinkDown,
    Listener,
    Message,
    NativeId,
    RoutedConversation,
    Sender,
    SenderId,
    Text,
)
from tests.services import Person, person, synapse_or_skip

HOME = BridgeName("home")
RADIO = Address(BridgeName("radio"), "LongFast")
PATIENCE_S = 80


@dataclass(kw_only=True)
class Registered:
    """A Synapse whose application service is at `port`."""

    server: Synapse
    file: Path
    port: int

    @property
    def tokens(self) -> dict[str, Any]:
        return dict(json.loads(self.file.read_text()))


@asynccontextmanager
async def registered(
    folder: Path, *, database: Any = "memory", url: bool = True, **settings: Any
) -> AsyncIterator[Registered]:
    """Start a homeserver that knows our registration."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "registration.yaml"
    address = f"http://{LOOPBACK}:{port}" if url else None
    file.write_text(as_text(new_registration(server_name="gw.test", bot="crossband", url=address)))
    file.chmod(0o600)
    settings = {"app_service_config_files": [str(file)], **settings}
    async with Synapse(folder / "synapse", python=synapse_or_skip(), database=database, settings=settings) as server:
        yield Registered(server=server, file=file, port=port)


@dataclass(kw_only=True)
class Village:
    """A room with Ali in it, and a box whose user is invited."""

    home: Registered
    ali: Person
    room_id: str
    folder: Path
    bot: str
    counts: list[str] = field(default_factory=list)

    @property
    def server(self) -> Synapse:
        return self.home.server

    @property
    def bot_id(self) -> str:
        return f"@{self.bot}:{self.server.server_name}"

    @property
    def there(self) -> Address:
        return Address(HOME, self.room_id)

    def bridge(self, *, listen: bool = True, **changes: Any) -> AppserviceBridge:
        """Build the box's bridge, as the core would."""
        self.folder.mkdir(parents=True, exist_ok=True)
        table = {
            "kind": "matrix",
            "mode": "appservice",
            "homeserver": self.server.url,
            "user_id": self.bot_id,
            "registration_file": str(self.home.file),
        } | ({"listen": f"{LOOPBACK}:{self.home.port}"} if listen else {})
        kind.check(table)
        context = BridgeContext(
            name=HOME,
            table=table,
            state_dir=self.folder,
            clock=SystemClock(),
            random=random.Random(1),
            conversations=(RoutedConversation(name=self.room_id),),
            count=self.counts.append,
        )
        bridge = kind.create(replace(context, **changes))
        assert isinstance(bridge, AppserviceBridge)
        return bridge

    async def shown(self) -> list[dict[str, Any]]:
        """Return what others said in the room, oldest first."""
        return await self.ali.heard(self.room_id, limit=500)


@asynccontextmanager
async def village(home: Registered, folder: Path, **room: Any) -> AsyncIterator[Village]:
    bot = f"crossband-{secrets.token_hex(3)}"
    ali = await person(home.server, "ali", displayname="Ali")
    try:
        room_id = await ali.create_room(invite=(f"@{bot}:{home.server.server_name}",), **room)
        yield Village(home=home, ali=ali, room_id=room_id, folder=folder, bot=bot)
    finally:
        await ali.client.close()


class Listening(uvicorn.Server):
    @contextmanager
    def capture_signals(self):
        yield


class Gate:
    """Stands between the homeserver and a bridge's listener: notes transactions, holds them, spoils the answers."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.ids: list[str] = []
        self.opened = asyncio.Event()
        self.opened.set()
        self.spoils = b""
        """The first transaction with these words gets a 500, after the bridge answered."""
        self.probed = False
        """Whether something came that passes: nothing of it is left behind."""
        self.holds_repeats = False
        """Whether the first transaction that comes again is held until `opened` is set: then a recovery goes on."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_transaction = "/transactions/" in scope["path"]
        if is_transaction:
            txn_id = scope["path"].rpartition("/")[2]
            if self.holds_repeats and txn_id in self.ids:
                self.holds_repeats = False
                self.opened.clear()
            self.ids.append(txn_id)
            await self.opened.wait()

        body = b""

        async def read() -> Any:
            nonlocal body
            part = await receive()
            body += part.get("body", b"")
            self.probed = self.probed or b'"m.typing"' in body
            return part

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start" and is_transaction and self.spoils and self.spoils in body:
                self.spoils = b""
                message = message | {"status": 500}
            await send(message)

        await self._app(scope, read, answer)


@asynccontextmanager
async def serving(bridge: Any, gate: Gate | None = None) -> AsyncIterator[None]:
    """Serve a bridge's own address, as `gateway.servers` does."""
    assert isinstance(bridge, Listener)
    host, _, port = bridge.listen.rpartition(":")
    app = gate or bridge.app
    server = Listening(
        uvicorn.Config(app, host=host, port=int(port), lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    )
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield
    finally:
        if gate is not None:
            gate.opened.set()
        server.should_exit = True
        await task


class Core:
    """What the gateway does with a bridge: keeps it connected, and journals what it yields, each event once."""

    def __init__(self, bridge: AppserviceBridge) -> None:
        self._bridge = bridge
        self.yielded: list[Message] = []
        self.is_up = asyncio.Event()

    @property
    def journal(self) -> list[Message]:
        return list({message.id: message for message in self.yielded}.values())

    async def run(self) -> None:
        while True:
            try:
                async with self._bridge:
                    self.is_up.set()
                    await self._receive()
            except LinkDown:
                self.is_up.clear()
                await asyncio.sleep(0.1)

    async def _receive(self) -> None:
        async with aclosing(self._bridge.receive()) as items:
            async for item in items:
                assert isinstance(item, Message)
                self.yielded.append(item)


@asynccontextmanager
async def working(bridge: AppserviceBridge, gate: Gate | None = None) -> AsyncIterator[Core]:
    """Let a box work: connected, listening where it does; give its core."""
    core = Core(bridge)
    async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as stack:
        if isinstance(bridge, Listener):
            await stack.enter_async_context(serving(bridge, gate))
        task = asyncio.create_task(core.run())
        try:
            await core.is_up.wait()
            yield core
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def hearing(bridge: AppserviceBridge) -> AsyncIterator[list[Message]]:
    """Let a box work; give the list of all it yields."""
    async with working(bridge) as core:
        yield core.yielded


async def until(condition: Callable[[], Any], *, within_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


def node_says(body: str, *, number: int = 1, node: str = "!a1b2c301", name: str = "Bea", **fields: Any) -> Message:
    given: dict[str, Any] = {"content": Text(body=body), "received_ms": SystemClock().now_ms()} | fields
    return Message(
        native_id=NativeId(f"mt:{node[1:]}:{number}"),
        origin=RADIO,
        sender=Sender(id=SenderId(node), name=name),
        **given,
    )


def words(messages: list[Message]) -> list[str]:
    return [message.content.body for message in messages if isinstance(message.content, Text)]
