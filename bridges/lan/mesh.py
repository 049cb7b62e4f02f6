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
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from bridges.lan.addresses import Places, Source, address_of, is_literal
from bridges.lan.answering import Answering
from bridges.lan.discovery import Discovery
from bridges.lan.event import BoxId, Event, box_of
from bridges.lan.exchange import ALONE_S, Exchange
from bridges.lan.held import Held, State
from bridges.lan.identity import box_key, community, keep_community
from bridges.lan.joining import JOIN, Doorkeeper, ask_in, must_be_alone
from bridges.lan.keeping import keep_short
from bridges.lan.links import SYNC, Links
from bridges.lan.log import Log
from bridges.lan.lookout import Lookout
from bridges.lan.membership import Add, Member, Remove, Roll
from bridges.lan.opening import open_store
from bridges.lan.pairing import GOOD_FOR_S, Code
from bridges.lan.presence import LIVE_S, Detail, Presence
from bridges.lan.refilling import REFILL_S, refilled
from bridges.lan.server import Serve, Server
from bridges.lan.store import Arrived
from bridges.lan.tls import Contexts
from gateway.model import Clock, Declined, Rejected

INTERFACES_EVERY_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshSettings:
    """What the configuration says of it."""

    name: str
    """Of this box."""
    sync: str
    """``host:port`` to listen on."""
    peers: tuple[str, ...] = ()
    """``host:port`` of others, besides those that are found."""
    discover: bool = False
    """Whether to find others by mDNS, and be found."""
    interfaces: tuple[str, ...] = ()
    """On which; none: all but loopback."""
    retention_s: float = 30 * 86400.0
    alone_s: float = ALONE_S
    """How long after the start a box is awaited that still has what the others dropped."""


class Mesh:
    """One box's part in the mesh. Reusable, not reentrant."""

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
            self._key = box_key(self._folder)
            self._root = community(self._folder, self._key.public_key(), self.settings.name)
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
                alone_s=self.settings.alone_s,
            )
            self.exchange.watch(self._wake)
            self.exchange.on_roll = self._believe
            self._contexts = Contexts(self._key)
            self.door = self._doorkeeper()
            self._believe(self._held.state.roll)
            serve: dict[str, Serve] = {
                SYNC: Answering(self._held, self.exchange, self._clock, self._called),
                JOIN: self.door.answer,
            }
            self._server = Server(self.settings.sync, self._contexts, serve, self._count)
            await self._server.open()
            opened.push_async_callback(self._server.close)
            self.places = Places(self.settings.peers)
            self._links = Links(
                self._held,
                self.exchange,
                self.places,
                contexts=self._contexts,
                clock=self._clock,
                chance=self._chance,
            )
            await self._links.open()
            opened.push_async_callback(self._links.close)
            self.exchange.watch(self._learn_told)
            self._lookout = Lookout(
                sync=self.settings.sync,
                interfaces=self.settings.interfaces,
                discover=self.settings.discover,
                found=self._found,
            )
            await self._look_around()
            opened.push_async_callback(self._lookout.stop)
            looking = asyncio.get_running_loop().create_task(self._keep_looking(), name="lan interfaces")
            opened.callback(looking.cancel)
            job = asyncio.get_running_loop().create_task(
                keep_short(self._held, self.settings.retention_s, self._clock, self._count), name="lan retention"
            )
            opened.callback(job.cancel)
            self._opened = opened.pop_all()
        return self

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
        if not self.is_member:
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

    def serve(self, common_names: frozenset[str]) -> None:
        """Tell the others which conversations this box serves just now."""
        if self.presence.become(replace(self.presence.own, serving=common_names)):
            self.exchange.changed()

    def live(self) -> Mapping[BoxId, frozenset[str]]:
        """Return the boxes heard in the last 30 s, this one with them, and what each serves."""
        return self.presence.live(self._clock.monotonic())

    async def refill(self) -> None:
        """Return once the others gave back what this box lost of the log, or can't for now.

        What it says before it has that would stand before what it said earlier.
        """
        if len(self.members) > 1:
            await refilled(self.exchange, self._clock, within_s=REFILL_S)

    # Who belongs.

    @property
    def state(self) -> State:
        """What the log looks like."""
        return self._held.state

    @property
    def box(self) -> BoxId:
        """Who we are."""
        return box_of(self._held.state.feed)

    @property
    def root(self) -> Member:
        """The first box of our community."""
        return self._root

    @property
    def is_member(self) -> bool:
        """Whether we belong still."""
        return self._held.state.roll.is_member(self.box)

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

    @property
    def members(self) -> Sequence[Member]:
        """Who belongs now."""
        return self._held.state.roll.members

    def name_of(self, box: BoxId) -> str:
        """Return what a box is called; its id if it never said."""
        member = self._held.state.roll.boxes.get(box)
        return member.name if member and member.name else box

    async def add(self, key: bytes, name: str) -> None:
        """Let a box in."""
        await self._state(Add(key=key, name=name))

    def invite(self, key: bytes, good_for_s: float = GOOD_FOR_S) -> None:
        """Let in, once, whoever proves this key; Declined if too many invitations are open."""
        if not self.door.invitations.open(key, self._clock.monotonic(), good_for_s):
            raise Declined("too many invitations are open: wait until one is used, or over")
        self._believe(self._held.state.roll)

    async def join(self, code: Code, addresses: Sequence[str] = ()) -> None:
        """Become part of another community; Declined, with the reason, if this box has one, or isn't let in."""
        must_be_alone(self._held.state.roll)
        found = (place.address for place in self.places)
        at, welcome = await ask_in(code, self._key, self.settings.name, (*addresses, *found))
        keep_community(self._folder, welcome.root)
        self._root = welcome.root
        await self._held.open(self._new_log)
        self.presence.restart(self._held.state.feed)
        await self.believe(welcome.statements)
        self.learn(at, Source.TOLD, code.box)

    async def remove(self, box: BoxId) -> None:
        """Put a box out; Declined if it isn't one of ours."""
        if not self._held.state.roll.is_member(box):
            raise Declined(f"no box {box} belongs to this community")
        if box == self.box:
            raise Declined("a box can't put itself out: do it at another")
        have = await self._held.read(lambda log: log.without(box))
        await self._state(Remove(box=box, frontier=have))

    async def statements(self) -> list[Event]:
        """Return all that boxes said of boxes: what a box needs that joins."""
        return await self._held.read(lambda log: log.statements())

    async def believe(self, statements: Sequence[Event]) -> None:
        """Take what boxes said of boxes; whatever no member signed is left out."""
        await self._held.write(lambda log: log.take_statements(statements))
        self._believe(self._held.state.roll)
        self.exchange.changed()

    def learn(self, address: str, source: Source = Source.FOUND, box: BoxId | None = None) -> None:
        """Try an address, too."""
        self._links.learn(address, source, box)

    # Inside.

    def _wake(self) -> None:
        self.arrived.set()
        self.arrived = asyncio.Event()

    async def _keep_looking(self) -> None:
        while True:
            await self._clock.sleep(INTERFACES_EVERY_S)
            self._accept(self._held.state.roll)  # an invitation may be over
            await self._look_around()

    async def _look_around(self) -> None:
        await self._lookout.look_around(self.box, self.port, self.presence, self.exchange.changed)

    def _found(self, address: str, box: BoxId | None) -> None:
        self._links.learn(address, Source.FOUND, box)

    def _learn_told(self) -> None:
        for box, seen in self.presence.seen(self._clock.monotonic()).items():
            for address in filter(is_literal, seen.detail.addresses):
                self._links.learn(address, Source.TOLD, box)

    def _make_log(self, opened: ExitStack) -> Log:
        self._store = open_store(self._folder, self._count)
        opened.callback(self._store.close)
        return self._new_log()

    def _new_log(self) -> Log:
        return Log(self._store, self._key, self._root, start=self._chance.getrandbits(64))

    def _doorkeeper(self) -> Doorkeeper:
        return Doorkeeper(
            clock=self._clock,
            count=self._count,
            roll=lambda: self._held.state.roll,
            root=lambda: self._root,
            add=self.add,
            statements=self.statements,
        )

    async def _state(self, says: Add | Remove) -> None:
        await self._held.write(lambda log: log.state(says, self._clock.now_ms()))
        self._believe(self._held.state.roll)
        self.exchange.changed()

    def _believe(self, roll: Roll) -> None:
        self._accept(roll)
        self.exchange.forget(roll)

    def _accept(self, roll: Roll) -> None:
        self._contexts.accept([member.key for member in roll.members], self.door.keys())

    def _called(self, box: BoxId, host: str, port: int) -> None:
        if port:
            self._links.learn(address_of(host, port), Source.CALLER, box)
        self._links.called(box)
