# SPDX-License-Identifier: GPL-3.0-or-later
"""This box among the others: its log, kept equal with theirs, and who of them is there.

async with Mesh(settings, folder, clock=clock, chance=chance, count=count) as mesh:
    await mesh.append("web:hill/1", body)
    for each in await mesh.news(after):
        ...
    await mesh.wait(after)
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from bridges.lan.addresses import Places, Source
from bridges.lan.answering import Answering
from bridges.lan.community import Community, Identity
from bridges.lan.discovery import Discovery
from bridges.lan.event import BoxId, box_of
from bridges.lan.exchange import Exchange
from bridges.lan.held import Held, State
from bridges.lan.joining import JOIN
from bridges.lan.keeping import keep_short
from bridges.lan.links import SYNC, Links
from bridges.lan.log import Log
from bridges.lan.lookout import Lookout
from bridges.lan.membership import Roll
from bridges.lan.mesh_settings import MeshSettings
from bridges.lan.opening import open_store
from bridges.lan.pairing import Code
from bridges.lan.presence import LIVE_S, Detail, Presence
from bridges.lan.refilling import REFILL_S, refilled
from bridges.lan.server import Serve, Server
from bridges.lan.store import Arrived
from gateway.model import Clock, Rejected

INTERFACES_EVERY_S = 10.0


class Mesh:
    """One box's part in the mesh. Reusable, not reentrant."""

    community: Community
    """Who belongs."""
    presence: Presence
    """Who is there, and what they serve."""
    places: Places
    """Where boxes were found, or not."""

    def __init__(
        self,
        settings: MeshSettings,
        folder: Path,
        *,
        clock: Clock,
        chance: random.Random,
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`folder`: private to us; `count`: one more of a kind of thing skipped or noticed."""
        self.settings = settings
        self.arrived = asyncio.Event()
        """Set, and another put in its place, whenever there is something new to read, or somebody came or went."""
        self._folder = folder
        self._clock = clock
        self._chance = chance
        self._count = count

    async def __aenter__(self) -> Self:
        """Open all; AuthFailed if who we are can't be read, LinkDown if disk or address can't be had."""
        async with AsyncExitStack() as opened:
            await self._open_log(opened)
            await self._open_server(opened)
            await self._open_links(opened)
            await self._open_lookout(opened)
            self._tend(opened, keep_short(self._held, self.settings.retention_s, self._clock, self._count), "retention")
            self._opened = opened.pop_all()
        return self

    async def _open_log(self, opened: AsyncExitStack) -> None:
        self._identity = Identity(self._folder, self.settings.name)
        self._held = Held()
        closing = opened.enter_context(ExitStack())  # the log's file, once its thread has ended
        opened.callback(self._held.close)
        await self._held.open(lambda: self._make_log(closing))
        self.presence = Presence(self._held.state.feed, Detail(name=self.settings.name))
        self.exchange = Exchange(
            self._held,
            self.presence,
            clock=self._clock,
            count=self._count,
            port=lambda: self._server.port,
            start=self._start,
            alone_s=self.settings.alone_s,
        )
        self.exchange.watch(self._wake)
        self.community = Community(
            self._identity, self._held, self.exchange, clock=self._clock, count=self._count, begin=self._new_log
        )

    async def _open_server(self, opened: AsyncExitStack) -> None:
        serve: dict[str, Serve] = {
            SYNC: Answering(self._held, self.exchange, self._clock, self._called),
            JOIN: self.community.door.answer,
        }
        self._server = Server(self.settings.sync, self.community.contexts, serve, self._count)
        await self._server.open()
        opened.push_async_callback(self._server.close)

    async def _open_links(self, opened: AsyncExitStack) -> None:
        self.places = Places(self.settings.peers)
        self._links = Links(
            self._held,
            self.exchange,
            self.places,
            contexts=self.community.contexts,
            clock=self._clock,
            chance=self._chance,
        )
        await self._links.open()
        opened.push_async_callback(self._links.close)

    async def _open_lookout(self, opened: AsyncExitStack) -> None:
        self._lookout = Lookout(
            sync=self.settings.sync,
            interfaces=self.settings.interfaces,
            discover=self.settings.discover,
            found=self._found,
        )
        await self._look_around()
        opened.push_async_callback(self._lookout.stop)
        self._tend(opened, self._keep_looking(), "interfaces")

    def _tend(self, opened: AsyncExitStack, job: Coroutine[Any, Any, NoReturn], of: str) -> None:
        """Have this done until all is closed."""
        task = asyncio.get_running_loop().create_task(job, name=f"lan {of}")
        opened.callback(task.cancel)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close all."""
        await self._opened.aclose()

    # What is said.

    async def append(self, native: str, body: str) -> bool:
        """Say something, durably, and tell the others at once; False if any box logged its native id already.

        Rejected if the others put this box out: what it says counts nowhere, so its own log keeps none of it.
        """
        if not self.community.is_member:
            raise Rejected("the other boxes put this one out: it has to join them again, as a new one")
        event = await self._held.write(lambda log: log.append(native, body, self._clock.now_ms()))
        if event is not None:
            self.exchange.changed()
        return event is not None

    async def news(self, after: int, limit: int = 64) -> list[Arrived]:
        """Return what came after an arrival, our own with it, in the order it came; statements of boxes, too."""
        return await self._held.read(lambda log: log.news(after, limit))

    async def last_arrival(self) -> int:
        """Return the latest arrival there ever was here."""
        return await self._held.read(lambda log: log.last_arrival)

    async def has_news(self, after: int) -> bool:
        """Whether there is news after an arrival."""
        return await self._held.read(lambda log: log.has_news(after))

    async def wait(self, after: int) -> None:
        """Return when there is news after this arrival."""
        while True:
            arrived = self.arrived  # before the look: what comes meanwhile sets this one, whoever else waits
            if await self.has_news(after):
                return
            await arrived.wait()

    async def retain(self, since_ms: int) -> None:
        """Do nothing: what is too old goes by the mesh's own settings, however many read it."""
        del since_ms

    def present(self) -> Mapping[BoxId, int]:
        """Return the other boxes that were heard of lately, and when (ms)."""
        now_s, now_ms = self._clock.monotonic(), self._clock.now_ms()
        seen = self.presence.seen(now_s).items()
        return {box: int(now_ms - (now_s - one.heard_s) * 1000) for box, one in seen if now_s - one.heard_s < LIVE_S}

    async def named_from(self, prefix: str) -> list[Arrived]:
        """Return every event whose native id begins so, in the order they came."""
        return await self._held.read(lambda log: log.named_from(prefix))

    async def knows(self, native: str) -> bool:
        """Whether any box logged what the world calls so."""
        return await self._held.read(lambda log: log.knows(native))

    async def logged_by(self, native: str) -> BoxId | None:
        """Return which box logged first what the world calls so, as this one heard it."""
        return await self._held.read(lambda log: log.logged_by(native))

    def serve(self, common_names: frozenset[str]) -> None:
        """Tell the others which conversations this box serves just now."""
        if self.presence.become(replace(self.presence.own, serving=common_names)):
            self.exchange.changed()

    def live(self) -> Mapping[BoxId, frozenset[str]]:
        """Return the boxes heard in the last 30 s, this one with them, and what each serves."""
        return self.presence.live(self._clock.monotonic())

    def lately(self) -> Mapping[BoxId, frozenset[str]]:
        """Return the other boxes heard in the last day, and what each served then."""
        seen = self.presence.seen(self._clock.monotonic())
        return {box: each.detail.serving for box, each in seen.items()}

    async def refill(self) -> None:
        """Return once the others gave back what this box lost of the log, or can't for now.

        What it says before it has that would stand before what it said earlier.
        """
        if len(self.roll.members) > 1:
            await refilled(self.exchange, self._clock, within_s=REFILL_S)

    # Where it is.

    @property
    def state(self) -> State:
        """What the log looks like."""
        return self._held.state

    @property
    def box(self) -> BoxId:
        """Who we are."""
        return box_of(self._held.state.feed)

    @property
    def discovery(self) -> Discovery | None:
        """What finds others by mDNS; None: it isn't wanted."""
        return self._lookout.discovery

    @property
    def port(self) -> int:
        """Where others reach us."""
        return self._server.port

    @property
    def roll(self) -> Roll:
        """Who belongs, and belonged."""
        return self._held.state.roll

    async def join(self, code: Code, addresses: Sequence[str] = ()) -> None:
        """Become part of another community: see `Community.join`; boxes that were found are asked, too."""
        found = (place.address for place in self.places)
        at = await self.community.join(code, (*addresses, *found))
        self.learn(at, Source.TOLD, code.box)

    def learn(self, address: str, source: Source = Source.FOUND, box: BoxId | None = None) -> None:
        """Try an address, too."""
        self._links.learn(address, source, box)

    # Inside.

    def _wake(self) -> None:
        self.arrived.set()
        self.arrived = asyncio.Event()

    async def _keep_looking(self) -> NoReturn:
        while True:
            await self._clock.sleep(INTERFACES_EVERY_S)
            self.community.close_invitations()
            await self._look_around()

    async def _look_around(self) -> None:
        await self._lookout.look_around(self.box, self.port, self.presence, self.exchange.changed)

    def _found(self, address: str, box: BoxId | None) -> None:
        self._links.learn(address, Source.FOUND, box)

    def _make_log(self, opened: ExitStack) -> Log:
        self._store = open_store(self._folder, self._count)
        opened.callback(self._store.close)
        return self._new_log()

    def _new_log(self) -> Log:
        return Log(self._store, self._identity.key, self._identity.root, start=self._start())

    def _start(self) -> int:
        return self._chance.getrandbits(64)

    def _called(self, box: BoxId, host: str, port: int) -> None:
        self._links.called(box, host, port)
