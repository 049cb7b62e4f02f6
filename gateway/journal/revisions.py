# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes deliveries that have not left: a sender's changed mind, and digests of a backlog.

The journal's copy of a body is the one that counts; a revised one is told of in `Standing.revised`,
since the queue's copy stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.journal import amending, backlog, folding
from gateway.journal.reader import Reader
from gateway.journal.records import Accepted, Amendment, Change, Held, Original, Rewrite, Seen
from gateway.journal.rows import new_message
from gateway.journal.writer import Writer
from gateway.model import Address, BridgeName, Clock, Delivery, DeliveryId, JournalError, Message, RemoteId, State


class Revisions:
    """A part of `Journal`; every call raises JournalError as that does."""

    def __init__(self, writer: Writer, reader: Reader, clock: Clock, era: Callable[[], int]) -> None:
        """`era`: how often the clock was set since the file was opened."""
        self._era = era
        self._writer = writer
        self._reader = reader
        self._clock = clock

    async def original(self, at: Address, remote_id: RemoteId) -> Original | None:
        """Return the message that is known as `remote_id` at this address."""
        return await self._reader.ask(lambda connection: backlog.original(connection, at, remote_id))

    async def accept(
        self,
        message: Message,
        deliveries: Sequence[Delivery],
        ended: Sequence[tuple[Delivery, State, str]],
        amendment: Amendment,
    ) -> Accepted | Seen:
        """Store an edit or a redaction, and what it does to its target, in one transaction on the disk.

        Where the target is still `waiting` or `queued`, and was never tried, it is changed or cancelled there
        and the message's own delivery is cancelled; elsewhere that one goes its way.
        """
        now_ms = self._clock.now_ms()
        new = new_message(message, deliveries, ended, now_ms, self._era())
        answer = await self._writer.task(
            lambda store, room: amending.accept(store, new, amendment, room.full(now_ms)), durable=True
        )
        if isinstance(answer, JournalError):
            raise answer
        return answer

    async def fold(
        self, carrier: DeliveryId, members: Sequence[DeliveryId], rewrite: Rewrite
    ) -> tuple[Change, ...] | None:
        """Let one delivery carry a digest of what it and the others said; they are `folded` from then on.

        One transaction, on the disk; called again with more, the digest grows. Those that are being sent, or
        may have been, or are over, are left alone. Return what changed; None if the carrier is such a one.
        """
        now_ms = self._clock.now_ms()
        return await self._writer.task(
            lambda store, _: folding.fold(store, carrier, members, rewrite, now_ms), durable=True
        )

    async def doubt(self, bridge: BridgeName, most: int) -> None:
        """Take the first `most` that wait in each lane of each conversation for such as may have been sent.

        For a journal that was cut off: that they were on their way may not have been written any more.
        """
        now_ms = self._clock.now_ms()
        await self._writer.task(lambda store, _: folding.doubt(store, bridge, most, now_ms), durable=True)

    async def held(self, to: Address, *, after: tuple[int, int], limit: int) -> tuple[tuple[int, int], Sequence[Held]]:
        """Return a page of what waits for one address, in order, and where the next begins.

        About `limit` deliveries of the whole bridge are looked at. An empty page with the same place: the end.
        """
        return await self._reader.ask(lambda connection: backlog.held(connection, to, after, limit))

    async def digest_of(
        self, at: Address, remote_id: RemoteId, to: Address
    ) -> tuple[DeliveryId, RemoteId | None] | None:
        """Return the digest in which the message known as `remote_id` at one address went to another, and its name."""
        return await self._reader.ask(lambda connection: backlog.digest_of(connection, at, remote_id, to))
