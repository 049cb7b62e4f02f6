# SPDX-License-Identifier: GPL-3.0-or-later
"""A Matrix bridge in appservice mode: as in bot mode, but people elsewhere speak through ghosts of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import structlog

from bridges.matrix.appservice.beginning import said_since_invited
from bridges.matrix.appservice.enrolment import Enrolment
from bridges.matrix.appservice.ghosts import Ghosts
from bridges.matrix.appservice.merge import merged
from bridges.matrix.appservice.own_room import OwnRoom
from bridges.matrix.appservice.puppets import GhostPuppets
from bridges.matrix.appservice.speech import GhostSpeech
from bridges.matrix.appservice.stirring import Stirring
from bridges.matrix.appservice.transactions import Events, GhostRooms, Inbox, invited, read_transaction, room_of
from bridges.matrix.appservice.wakeup import Wakeup
from bridges.matrix.bridge import MatrixBridge, of_the_link
from bridges.matrix.client import Refused
from bridges.matrix.convert import Reading
from bridges.matrix.plain import valid_id
from bridges.matrix.recall import Recall
from bridges.matrix.sync import RoomNews
from bridges.matrix.wire import mapping
from gateway.model import AuthFailed, BridgeContext, BridgeError, Message, Report

log = structlog.get_logger()

_NOTHING: tuple[Message, ...] = ()


class AppserviceBridge(MatrixBridge):
    """Carries text between the gateway and the rooms of a homeserver that lets it speak for its ghosts.

    What people say comes by our own user's sync. The homeserver's transactions tell of rooms that only
    ghosts are in. Both go the same way into the journal, which knows each event once.
    """

    def __init__(self, context: BridgeContext) -> None:
        super().__init__(context)
        self.ghosts = Ghosts(self._client, context, self._config.user_id.partition(":")[2])
        self._enrolment = Enrolment(self._config, context.state_dir)
        self._credentials = self._enrolment
        self._recall = Recall(self._client, context, is_ours=self._is_ours)
        self._office.use(GhostPuppets(self.ghosts))
        self._speech = GhostSpeech(
            self._client,
            context,
            self._rooms,
            self._recall,
            threads=self._threads,
            directs=self._office.directs,
            ghosts=self.ghosts,
            authors=self._authors,
        )
        self._own_room = OwnRoom(self._client, context, self._office.made)
        self._wakeup = Wakeup(self._client, context, Stirring(self._client, context, self._rooms, self._own_room))
        self._inbox = Inbox(self._carried)
        self._ghost_rooms = GhostRooms()
        self._transaction_ms: int | None = None

    def describe(self) -> Mapping[str, str]:
        """Return what `MatrixBridge` does, and how ghosts and the homeserver's pushes are doing."""
        facts = {
            **super().describe(),
            "mode": "appservice",
            "ghosts": f"{len(self.ghosts)} known",
            "listener": self._config.listen or "none",
            **self._wakeup.facts(),
            "last_transaction": _moment(self._transaction_ms),
        }
        encrypted = [c.name for c in self._rooms.conversations if self._is_encrypted(c.name)]
        out = self._speech_of_ghosts.kept_out() | dict.fromkeys(encrypted, "the room is encrypted")
        if self._own_room.trouble:
            facts["own_room"] = self._own_room.trouble
        if out:
            facts["ghosts_stay_out"] = "; ".join(f"{where}: {why}" for where, why in out.items())
        return facts

    async def __aenter__(self) -> Self:
        """Do what `MatrixBridge` does, as a user that we make where it isn't there."""
        await super().__aenter__()
        self._wakeup.connected()
        self._inbox.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Take no more transactions, note what is known, and close all connections."""
        self._inbox.close()
        await self.ghosts.save()
        await super().__aexit__(exc_type, exc, tb)

    async def receive(self) -> AsyncGenerator[Message | Report]:
        """Yield what people say, in order within each room. Raises LinkDown and AuthFailed only."""
        async with aclosing(merged(super().receive(), self._pushed(), self._waking())) as items:
            async for item in items:
                yield item

    # What the listener asks: `bridges.matrix.appservice.listener.Door`.

    @property
    def hs_token(self) -> str:
        """What the homeserver has to show; empty before we first connected."""
        registration = self._enrolment.registration
        return registration.hs_token if registration else ""

    async def transaction(self, txn_id: str, body: bytes | None) -> bool:
        """Return whether all that a transaction carries is stored, or there is nothing in it that we could store."""
        transaction = None if body is None else read_transaction(body)
        self._transaction_ms = self._context.clock.now_ms()
        if transaction is None:
            # Refused, it would come again for ever, and nothing after it.
            self._context.count("matrix_transaction_malformed")
            log.error("matrix_transaction_malformed", bridge=self.name, bytes=None if body is None else len(body))
            self._wakeup.took(txn_id, passes=False)
            return True
        if self._wakeup.refuses(txn_id):
            return False
        is_stored = False
        try:
            is_stored = await self._inbox.take(transaction.events)
        finally:  # also where the homeserver doesn't wait for the answer
            if is_stored:
                self._wakeup.took(txn_id, passes=transaction.passes)
            else:
                self._wakeup.failed(txn_id)
        return is_stored

    async def has_user(self, user_id: str) -> bool:
        """Whether this ghost is there. The homeserver asks before it invites anybody; a ghost is made when it comes."""
        localpart = self.ghosts.localpart(user_id)
        return localpart is not None and await self.ghosts.knows(localpart)

    @property
    def _speech_of_ghosts(self) -> GhostSpeech:
        assert isinstance(self._speech, GhostSpeech)  # noqa: S101 - as it was built
        return self._speech

    def _is_ours(self, user_id: str) -> bool:
        return user_id == self._config.user_id or self.ghosts.localpart(user_id) is not None

    def _is_encrypted(self, conversation: str) -> bool:
        room_id = self._rooms.open_id(conversation)
        return room_id is not None and self._rooms.seems_encrypted(room_id)

    async def _pushed(self) -> AsyncGenerator[Message | Report]:
        try:
            async with aclosing(self._inbox.messages()) as messages:
                async for message in messages:
                    yield message
        except BridgeError as error:
            raise of_the_link(error) from error

    async def _waking(self) -> AsyncGenerator[Message | Report]:
        """Wake the homeserver, and say nothing."""
        if self._enrolment.registration is not None:
            listens = self._config.listen is not None
            await self._wakeup.wake(self._enrolment.registration, listens=listens)
        for nothing in _NOTHING:
            yield nothing

    async def _carried(self, events: Events) -> AsyncGenerator[Message]:
        """Yield the messages in a transaction's events, as far as our own sync doesn't have them."""
        for event in events:
            room_id = room_of(event)
            if (invite := invited(event)) is not None:
                news = await self._answer(*invite)
            elif not room_id:
                self._context.count("matrix_skipped_malformed")
                continue
            elif self._counts(room_id):
                news = RoomNews(room_id=room_id, events=(event,))
            else:
                self._context.count("matrix_transaction_hint")
                continue
            self._learn(news)
            for said in news.events:
                message = await self._read(said, news.room_id, self._reading(news.room_id))
                if message is not None:
                    yield message

    def _counts(self, room_id: str) -> bool:
        return self._ghost_rooms.counts(
            room_id,
            is_synced=self._rooms.is_in(room_id),
            is_routed=self._rooms.is_routed(room_id),
            now_s=self._context.clock.monotonic(),
        )

    async def _answer(self, guest: str, room_id: str, host: str) -> RoomNews:
        """Do what comes of an invitation; return what was said in the chat meanwhile, which nobody tells us of."""
        nothing = RoomNews(room_id=room_id)
        localpart = self.ghosts.localpart(guest)
        registration = self._enrolment.registration
        if localpart is None or registration is None or registration.covers(host):  # us, or another box
            return nothing
        was_in = self._rooms.is_in(room_id)
        try:
            ghost = await self._office.directs.ghost_invited(guest, room_id, host)
            if ghost is not None or not was_in:
                # Into a room that our sync has, somebody may ask ghosts as often as they like.
                self._ghost_rooms.note(room_id, self._context.clock.monotonic())
            return nothing if ghost is None else await said_since_invited(ghost, room_id, host)
        except (Refused, AuthFailed) as error:
            self._context.count("matrix_ghost_invite_failed")
            log.warning("matrix_ghost_invite_failed", bridge=self.name, room=room_id, reason=str(error))
            return nothing

    async def _read(self, event: object, room_id: str, reading: Reading) -> Message | None:
        sender = valid_id(mapping(event).get("sender"), "@")
        if sender is not None and self.ghosts.localpart(sender) is not None:
            self._context.count("matrix_skipped_own")  # any box's: they share the registration
            return None
        return await super()._read(event, room_id, reading)


class ListeningBridge(AppserviceBridge):
    """One that the homeserver reaches. See `gateway.model.Listener`."""

    def __init__(self, context: BridgeContext) -> None:
        from bridges.matrix.appservice.listener import create_app  # noqa: PLC0415 - who doesn't listen needs no FastAPI

        super().__init__(context)
        self._app = create_app(self, self.file_routes)

    @property
    def listen(self) -> str:
        """``host:port``."""
        return self._config.listen or ""

    @property
    def app(self) -> Callable[..., Any]:
        """The ASGI application, files for those on the LAN included."""
        return self._app


def _moment(at_ms: int | None) -> str:
    return "never" if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
