# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway view on a real journal and the memory outbox, for tests of the API and the command line.

It routes nothing by itself: every address named gets one delivery, and whatever a test says becomes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import uvicorn

from gateway.api import create_app
from gateway.choosing import Schedule
from gateway.clock import ManualClock
from gateway.config import Settings, load
from gateway.costs import Price, price
from gateway.desk import FrontDesk
from gateway.journal import Accepted, Change, DeadLetters, Journal, Retention, Seen
from gateway.link import LinkState
from gateway.metrics import Metrics
from gateway.model import (
    Address,
    Adjustable,
    Asked,
    Asking,
    Bridge,
    BridgeKind,
    BridgeName,
    Delivery,
    DeliveryId,
    JournalError,
    Message,
    Node,
    NoDesk,
    SenderId,
    State,
    Topic,
)
from gateway.outbox.memory import MemoryOutbox
from gateway.outlook import Outlook, outlooks
from gateway.redrive import Redrives
from gateway.registry import Registry
from gateway.routing import Route
from gateway.rulings import OPERATOR, Rulings
from gateway.status import BridgeStatus, DryPart, EventHub, JournalStatus, QueueStatus, StoreState

CONFIG = """\
[gateway]
name = "hilltop"
data_dir = "{data_dir}"

[bridges.home]
kind = "fake"

[bridges.radio]
kind = "fake"

[[routes]]
name = "town"
join = ["home/#town", "radio/LongFast"]
expires = {{ radio = "6h" }}
digest_after = {{ radio = "10m" }}

[[routes]]
name = "warnings"
from = ["home/#warnings"]
to = ["radio/LongFast"]
"""
START_MS = 1_800_000_000_000
REGISTRY = Registry({"fake": lambda: BridgeKind(create=lambda _: None, check=lambda _: frozenset())})


class Spelled(NoDesk):
    """Resolves what is an address already; joins nothing."""

    def resolve(self, there: str) -> Address:
        return Address.parse(there)


class SlowBridge:
    """A second on the air for everything."""

    airtime_basis = "LongFast"

    def airtime_ms(self, message: Message, to: Address) -> int:
        return 1000


class Desk:
    """The running gateway, as far as its API can tell."""

    def __init__(self, settings: Settings, journal: Journal, clock: ManualClock) -> None:
        self.settings = settings
        self.journal = journal
        self.clock = clock
        self.outbox = MemoryOutbox()
        self.started_ms = clock.now_ms()
        self.events = EventHub()
        self.metrics = Metrics()
        self.journal_status = JournalStatus(state=StoreState.UP)
        self.queue_status = QueueStatus(state=StoreState.UP, engine="memory")
        self.states = {BridgeName("home"): LinkState.UP, BridgeName("radio"): LinkState.DOWN}
        self.schedules: dict[BridgeName, Schedule] = {}
        """How those fare that schedule."""
        self.narrow: dict[BridgeName, Bridge] = {}
        """And they themselves."""
        self.known: list[tuple[BridgeName, Node]] = []
        self.made: list[Route] = []
        self.located: list[Address] = []
        self.place: asyncio.Future[str | Exception] = asyncio.get_running_loop().create_future()
        """What comes back from whoever is asked where they are."""
        self.rulings = Rulings(settings.permissions, journal.decisions, clock)
        self.redrives = Redrives(journal, clock, self.redrive)
        self.asked: list[Asking] = []
        """Who asks to be heard on radio."""
        self.adjustables: dict[BridgeName, Adjustable] = {}
        self.retried: list[tuple[BridgeName | None, tuple[DeliveryId, ...]]] = []

    def bridges(self) -> Sequence[BridgeStatus]:
        return [
            BridgeStatus(
                name=name,
                kind="fake",
                state=state,
                reason="" if state is LinkState.UP else "the cable is out",
                since_ms=self.started_ms,
                describe={"firmware": "2.7"},
                counters={"frame_oversized": 3},
                schedule=self.schedules.get(name),
            )
            for name, state in self.states.items()
        ]

    async def outlooks(self) -> Mapping[BridgeName, Outlook]:
        return await outlooks(self.narrow, self.journal)

    def queue_state(self) -> QueueStatus:
        return self.queue_status

    def journal_state(self) -> JournalStatus:
        return self.journal_status

    def dropped(self) -> Mapping[str, int]:
        return {"report": 2, "change": self.journal.lost, "outage": 0}

    def routes(self) -> Sequence[Route]:
        return (*self.settings.routes, *self.made)

    def nodes(self) -> Sequence[tuple[BridgeName, Node]]:
        return self.known

    def asking(self) -> Sequence[Asking]:
        named = set(self.rulings.named())
        return [one for one in self.asked if one.sender not in named]

    def moderated(self) -> frozenset[BridgeName]:
        return frozenset({BridgeName("lan")})

    async def command(self, words: str, where: str) -> str:
        desk = FrontDesk(self.rulings, Spelled())
        desk.open(self)
        at = Address(BridgeName("api"), where)
        return await desk.answer(Asked(sender=OPERATOR, words=words, at=at, private=True))

    def adjustable(self, name: BridgeName) -> Adjustable | None:
        return self.adjustables.get(name)

    async def where_is(self, there: Address) -> str:
        self.located.append(there)
        answer = await self.place
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def submit(self, message: Message, *, only: Address | None, route: str | None) -> Accepted | Seen:
        if self.journal_status.state is not StoreState.UP:
            raise JournalError(self.journal_status.reason)
        targets = (only,) if only is not None else self._all_of(route or "")
        return await self.journal.accept(message, [Delivery(message=message, to=to) for to in targets])

    def _all_of(self, name: str) -> Sequence[Address]:
        route = self._route(name)
        return tuple(dict.fromkeys((*route.sources, *route.targets)))

    def _route(self, name: str) -> Route:
        return next(route for route in self.routes() if route.name == name)

    async def dry_run(self, text: str, route: str, topic: Topic = Topic.TALK) -> Sequence[DryPart]:
        said = text if topic is Topic.TALK else f"{text}, of {topic}"
        return [DryPart(to=to, body=said) for to in self._route(route).targets]

    async def price(self, which: DeadLetters) -> Price:
        bridges = {BridgeName("home"): object(), BridgeName("radio"): SlowBridge()}
        return await price(which, self.journal, lambda message, to: [Delivery(message=message, to=to)], bridges)  # type: ignore[arg-type]

    async def redrive(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        return await self._become(ids, State.QUEUED, {State.FAILED})

    async def drop(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        return await self._become(ids, State.CANCELLED, {State.FAILED})

    async def cancel(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        return await self._become(ids, State.CANCELLED, {State.WAITING, State.QUEUED})

    async def retry(
        self, *, destination: BridgeName | None = None, ids: Sequence[DeliveryId] = ()
    ) -> tuple[BridgeName, ...]:
        self.retried.append((destination, tuple(ids)))
        return (destination,) if destination is not None else tuple(self.settings.bridges)

    async def fail(self, *ids: str, reason: str = "too big") -> None:
        """Make dead letters of deliveries."""
        now_ms = self.clock.now_ms()
        changes = [Change(id=DeliveryId(one), state=State.FAILED, reason=reason, at_ms=now_ms) for one in ids]
        await self.journal.record(changes)

    async def _become(self, ids: Sequence[DeliveryId], state: State, only: set[State]) -> tuple[DeliveryId, ...]:
        standings = await self.journal.standings(ids)
        mine = tuple(one for one in ids if one in standings and standings[one].state in only)
        now_ms = self.clock.now_ms()
        await self.journal.record([Change(id=one, state=state, reason="by hand", at_ms=now_ms) for one in mine])
        return mine


NODE = Node(id=SenderId("!a1b2c301"), name="Kim", last_heard_ms=START_MS, snr_db=-3.5, hops=1)


def write_config(folder: Path, extra: str = "") -> Path:
    """Write a configuration with two bridges and two routes."""
    path = folder / "crossband.toml"
    path.write_text(CONFIG.format(data_dir=folder / "data") + extra)
    return path


def in_chat(name: str) -> Route:
    """Return a direct chat that somebody with a hostile name made a minute ago."""
    ends = (Address.parse("home/!ali"), Address.parse("radio/!a1b2c301"))
    return Route(name=name, sources=ends, targets=ends, direct=True, by=SenderId("@<b>:x"), at_ms=START_MS - 60_000)


@contextlib.asynccontextmanager
async def open_desk(folder: Path, extra: str = "") -> AsyncIterator[Desk]:
    """Open a journal and put a desk on it."""
    settings = load(write_config(folder, extra), {}, registry=REGISTRY)
    settings.gateway.data_dir.mkdir(exist_ok=True)
    clock = ManualClock(START_MS)
    retention = Retention(age_s=7 * 86400, rows=200_000, size_bytes=256 * 1024**2)
    async with Journal(settings.gateway.data_dir / "journal.db", clock=clock, retention=retention) as journal:
        desk = Desk(settings, journal, clock)
        await desk.rulings.load()
        redriving = asyncio.create_task(desk.redrives.run())
        try:
            yield desk
        finally:
            redriving.cancel()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


@contextlib.asynccontextmanager
async def serving(desk: Desk, *, local: bool = True) -> AsyncIterator[tuple[str, int] | str]:
    """Serve a desk's API with uvicorn: on its control socket, or (not `local`) on a loopback port."""
    sock = _socket(desk, local=local)
    config = uvicorn.Config(create_app(desk, local=local), lifespan="off", log_config=None, timeout_graceful_shutdown=2)
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[sock]))
        try:
            yield sock.getsockname()
        finally:
            desk.events.close()
            server.should_exit = True


def _socket(desk: Desk, *, local: bool) -> socket.socket:
    if local:
        path = desk.settings.gateway.control_socket
        path.parent.mkdir(parents=True, exist_ok=True)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        sock.listen()
        return sock
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock
