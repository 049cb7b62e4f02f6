# SPDX-License-Identifier: GPL-3.0-or-later
"""One Matrix account as a bridge, in bot mode: it speaks for others under their names."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog
from starlette.routing import BaseRoute

from bridges.matrix.authors import Authors
from bridges.matrix.catchup import CatchUp
from bridges.matrix.client import Client
from bridges.matrix.config import MatrixConfig
from bridges.matrix.content import room_for
from bridges.matrix.convert import Reading, Skip, to_message
from bridges.matrix.crypto.encryption import Encryption
from bridges.matrix.crypto.parking import Parked
from bridges.matrix.files.links import FileLinks
from bridges.matrix.login import Credentials
from bridges.matrix.looking import Looking
from bridges.matrix.management.consents import Consents
from bridges.matrix.management.office import Office
from bridges.matrix.management.people import is_user
from bridges.matrix.members import Members
from bridges.matrix.notices import Notices
from bridges.matrix.overheard import overheard_in
from bridges.matrix.people import People
from bridges.matrix.recall import Recall
from bridges.matrix.reflector import Reflector
from bridges.matrix.rooms import Rooms
from bridges.matrix.since import Since
from bridges.matrix.speech import Speech
from bridges.matrix.sync import Batch, RoomNews, SinceRefused, first_sync, next_sync, since_join
from bridges.matrix.threads import Threads
from gateway.model import (
    Address,
    AuthFailed,
    BridgeContext,
    BridgeError,
    BridgeName,
    Capabilities,
    Edit,
    LinkDown,
    Message,
    NativeId,
    Progress,
    RateLimited,
    Receipt,
    RemoteId,
    Report,
    ResumePoint,
    RoutedConversation,
    Showing,
    Support,
)

log = structlog.get_logger()

CAPABILITIES = Capabilities(
    room_for=room_for,
    names=Support.NATIVE,
    replies=Support.NATIVE,
    reactions=Support.NATIVE,
    edits=Support.NATIVE,  # of what we sent for the same person: it is our event, so we may replace it
    redactions=Support.NATIVE,
    locations=Support.NATIVE,
    in_flight=8,  # rooms at once: beyond that a homeserver takes no more a second, and others wait
    reconnect_within_s=5.0,
)
PATIENCE_S = 5.0
"""How long to wait where the homeserver asks for patience and doesn't say how long."""
TURN_S = 2.0
IDLE_PAUSE_S = 0.5
"""Between syncs that brought nothing and yet came at once."""


class MatrixBridge:
    """Carries text between the gateway and the rooms of one account. See `gateway.model.Bridge`."""

    def __init__(self, context: BridgeContext) -> None:
        self._context = context
        self._config = MatrixConfig.from_table(context.table)
        self._client = Client(self._config.homeserver, self._config.user_id)
        self._files = None if self._config.files is None else FileLinks(self._client, context, self._config.files)
        self._credentials = Credentials(self._config, context.state_dir)
        consents = Consents(context.state_dir / "consents.json")
        self._rooms = Rooms(self._client, self._config, context, consents.has)
        self._notices = Notices(self._client, context)
        self._catch_up = CatchUp(self._client, context, self._rooms, self._notices)
        self._encryption = Encryption(self._client, self._config, context, self._rooms, self._notices)
        self._members = Members()
        self.people = People(self._members, context.state_dir / "nicks.json")
        """Their names; `people.nicks` is for who takes commands."""
        self._looking = Looking(self._client, context, self.people.name, self._is_ours)
        self._authors = Authors(self._client)
        self._recall = Recall(self._client, context)
        self._threads = Threads(self._client)
        self._office = Office(
            self._client,
            context,
            self._config,
            self._rooms,
            notices=self._notices,
            consents=consents,
            nicks=self.people.nicks,
        )
        self._speech = Speech(
            self._client,
            context,
            self._rooms,
            self._recall,
            threads=self._threads,
            directs=self._office.directs,
            authors=self._authors,
        )
        self._reflector = Reflector(self._client, context, self._rooms, self._config.shown, self._threads)
        self._since: Since | None = None
        self._commanded = False
        """Whether a command was taken since we last noted how far was read: what it did changes what that means."""

    @property
    def name(self) -> BridgeName:
        """The name it was configured under."""
        return self._context.name

    @property
    def capabilities(self) -> Capabilities:
        """What a Matrix room can carry."""
        return CAPABILITIES

    def describe(self) -> Mapping[str, str]:
        """Return who we are, where, and which rooms are not there, what was lost, and why."""
        whom = {"user": self._config.user_id, "homeserver": self._config.homeserver}
        return {
            **whom,
            **self._rooms.facts(),
            **self._catch_up.facts(),
            **self._office.facts(),
            **self._encryption.facts(),
        }

    def reroute(self, conversations: tuple[RoutedConversation, ...]) -> None:
        """Carry these from now on: rooms we are in at once, others when the next sync is through."""
        self._rooms.reroute(conversations)
        self._office.reroute([conversation.name for conversation in self._rooms.conversations])

    async def __aenter__(self) -> Self:
        """Log in, join the rooms, and know where the stream is; LinkDown or AuthFailed leave nothing open."""
        await self._client.connect()
        self._recall.connected()
        try:
            await self._credentials.authenticate(self._client)
            await self._encryption.connected()
            await self._rooms.enter()
            await self._office.open()
            await self._begin()
            if self._config.notice:
                await self._notices.tell(self._rooms)
        except BridgeError as error:
            await self._close()
            raise of_the_link(error) from error
        except BaseException:
            await self._close()
            raise
        log.info("matrix_connected", bridge=self.name, user=self._config.user_id, **_counted(self._rooms.facts()))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close all connections and note how far was read."""
        if self._since is not None:
            self._since.save()
        await self._close()

    async def _close(self) -> None:
        self._encryption.close()
        await self._client.close()

    async def receive(self) -> AsyncGenerator[Message | Report]:
        """Yield what people say in the rooms, in order within each.

        The last message of a sync carries the token after it as its resume point, so all of a
        sync's messages are stored before the token is. Raises LinkDown and AuthFailed only.
        """
        while True:
            try:
                batch = await self._next()
                since = self._known_since()
                held: Message | None = None
                async with aclosing(self._messages(batch, since.token or "")) as messages:
                    async for message in messages:
                        if held is not None:
                            yield held
                        held = message
                if held is not None:
                    yield replace(held, resume=ResumePoint(batch.next_batch))
                self._note_read(since, batch, journalled=held is not None)
                self._encryption.taken()
                await self._encryption.tend()
            except RateLimited as error:
                await self._context.clock.sleep(error.retry_after_s or PATIENCE_S)
            except AuthFailed as error:
                if self._config.password_file is None:
                    raise
                raise LinkDown(str(error)) from error  # with a password, connecting gets a new token
            except BridgeError as error:
                raise of_the_link(error) from error

    async def send(self, message: Message, to: Address, *, key: str) -> Receipt:
        """Put the message into a room; the key is the transaction id, so a repeat shows nothing new."""
        return await self._speech.say(message, to, key)

    def common_name(self, conversation: str) -> str | None:
        """Return what every box calls a room, once it was entered; a direct chat is this account's alone."""
        room_id = None if conversation.startswith("@") else self._rooms.room(conversation)
        return None if room_id is None else f"mx:{room_id}"

    def native_of(self, remote_id: RemoteId) -> NativeId | None:
        """Return what everyone calls an event."""
        return NativeId(f"mx:{remote_id}")

    def remote_of(self, native_id: NativeId) -> RemoteId | None:
        """Return the event that is called so."""
        network, _, event_id = native_id.partition(":")
        return RemoteId(event_id) if network == "mx" and event_id else None

    @property
    def turn_s(self) -> float:
        """How long another box is given to be heard: it has a homeserver to talk to, and we a sync to wait for."""
        return TURN_S

    @property
    def showing(self) -> Showing | None:
        """What it takes to show people what the configuration says they are shown."""
        return self._config.shown.showing

    async def reflect(self, news: Sequence[Progress]) -> None:
        """Show in a room what became of its messages."""
        await self._reflector.reflect(news)

    @property
    def file_routes(self) -> Sequence[BaseRoute]:
        """What is served to those on the LAN who fetch files, by whatever listens for this bridge."""
        return () if self._files is None else self._files.routes()

    def remembers_since_ms(self) -> int:
        """Return since when the homeserver surely remembers our transaction ids."""
        return self._recall.remembers_since_ms()

    async def recall(self, to: Address, *, key: str, since_ms: int) -> Receipt | None:
        """Look among our events in the room for the one that carries the key."""
        return await self._speech.recall(to, key, since_ms)

    async def look(self, to: Address) -> None:
        """Tell what other gateways said in a room up to now; nobody else is in a direct chat of ours."""
        if not is_user(to.conversation):
            room_id = await self._rooms.ready(to.conversation)
            await self._looking.look(room_id, self._rooms.origin(room_id))

    @property
    def position(self) -> ResumePoint | None:
        """Where the stream goes on after all that was stored."""
        token = None if self._since is None else self._since.token
        return None if token is None else ResumePoint(token)

    def go_on_from(self, point: ResumePoint) -> None:
        """Read on from where another box was: the account's tokens are good on every box."""
        self._since = Since(self._context.state_dir / "since.json", point)

    def _known_since(self) -> Since:
        if self._since is None:
            self._since = Since(self._context.state_dir / "since.json", self._context.resume)
        return self._since

    async def _begin(self) -> None:
        """Fix where the stream begins, the first time: what is said from now on is carried, nothing before."""
        since = self._known_since()
        if since.token is None:
            batch = await first_sync(self._client, self._context.random.randrange(1, 10_000))
            self._encryption.take(batch.keys)
            await self._tend(batch)
            since.take(batch.next_batch, journalled=False, now_s=self._context.clock.monotonic())
            since.save()

    def _note_read(self, since: Since, batch: Batch, *, journalled: bool) -> None:
        # After a crash, what was said before a room was bridged must not be read as said after it.
        at_once, self._commanded = self._commanded, False
        since.take(batch.next_batch, journalled=journalled, now_s=self._context.clock.monotonic(), at_once=at_once)

    async def _next(self) -> Batch:
        clock = self._context.clock
        since = self._known_since()
        while True:
            began = clock.monotonic()
            try:
                batch = await next_sync(self._client, since.token or "")
            except SinceRefused as refused:
                self._catch_up.since_refused(str(refused))
                self._encryption.missed()
                since.forget()
                await self._begin()
                continue
            if batch.is_empty and clock.monotonic() - began < IDLE_PAUSE_S:
                await clock.sleep(IDLE_PAUSE_S)
            self._encryption.take(batch.keys)
            await self._tend(batch)
            return batch

    async def _tend(self, batch: Batch) -> None:
        """Take in what changed around the messages: who invites us, where we are no more, names, encryption."""
        for room_id in batch.left:
            self._encryption.left(room_id)
        for news in batch.rooms:
            self._encryption.see(news)
            self._learn(news)
        came = await self._office.tend(batch)
        came |= await self._rooms.enter_new()
        moved = await self._rooms.follow()
        await self._office.settle()
        if (came or moved) and self._config.notice:
            await self._notices.tell(self._rooms)

    def _learn(self, news: RoomNews) -> None:
        for event in (*news.state, *news.events):
            self._rooms.see(news.room_id, event)
            self._members.learn(news.room_id, event)
            self._authors.learn(event)
            self._threads.learn(event)

    async def _messages(self, batch: Batch, since: str) -> AsyncGenerator[Message]:
        for parked, late in await self._encryption.late():
            reading = self._reading(parked.room_id, parked)
            if (message := await self._read(late, parked.room_id, reading)) is not None:
                yield message
        for news in batch.rooms:
            reading = self._reading(news.room_id)

            def is_message(event: object, reading: Reading = reading) -> bool:
                return isinstance(to_message(event, reading), Message) or self._encryption.is_sealed(event)

            async with aclosing(self._catch_up.slices(news, since, is_message)) as slices:
                async for part in slices:
                    self._learn(part)
                    for event in since_join(part.events, self._config.user_id)[0]:
                        opened = await self._encryption.open(event, news.room_id)
                        if opened is None:
                            continue
                        message = await self._read(opened, news.room_id, self._reading(news.room_id))
                        if message is not None:
                            yield message

    async def _read(self, event: object, room_id: str, reading: Reading) -> Message | None:
        message = to_message(event, reading)
        if isinstance(message, Message) and (command := await self._office.command(event, message, room_id)):
            self._known_since().save()  # of what was read before; and of this, when all of the sync is
            self._commanded = True
            return await self._office.carry_out(command)
        if (
            message in (Skip.OTHER_BRIDGE, Skip.OWN)
            and (said := overheard_in(event, partial(self.people.name, room_id), self._is_ours)) is not None
        ):
            self._context.overheard(reading.room.conversation, replace(said, is_own=message is Skip.OWN))
        reason = message if isinstance(message, Skip) else await self._objection(room_id, message, reading)
        if isinstance(message, Message) and not reason:
            if self._files is not None and self._rooms.is_routed(room_id):
                message = await self._files.linked(message, event)
            return message
        self._context.count(f"matrix_skipped_{reason}")
        return None

    async def _objection(self, room_id: str, message: Message, reading: Reading) -> str:
        """Return why the message isn't taken though it is well formed; empty if it is."""
        if reading.was_closed or self._rooms.is_closed(room_id):
            return "closed"
        if await self._office.is_office(room_id):
            return "office"
        said = message.content
        if isinstance(said, Edit) and await self._authors.author(room_id, said.target) != message.sender.id:
            return "foreign_edit"
        return ""

    def _is_ours(self, user_id: str) -> bool:
        return user_id == self._config.user_id

    def _reading(self, room_id: str, parked: Parked | None = None) -> Reading:
        return Reading(
            room=Address(self.name, self._rooms.origin(room_id)),
            user_id=self._config.user_id,
            received_ms=self._context.clock.now_ms() if parked is None else parked.received_ms,
            was_closed=parked is not None and parked.was_closed,
            name_of=lambda user_id: self.people.name(room_id, user_id),
            on_air=lambda user_id, name: self.people.on_air(room_id, user_id, name),
        )


def of_the_link(error: BridgeError) -> BridgeError:
    """Return what a failure to connect or receive means: only a refused login is more than a lost link."""
    if isinstance(error, AuthFailed | LinkDown):
        return error
    return LinkDown(str(error), retry_after_s=error.retry_after_s if isinstance(error, RateLimited) else None)


def _counted(facts: Mapping[str, str]) -> dict[str, Any]:
    return {"rooms": facts["rooms"]}
