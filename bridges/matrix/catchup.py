# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a sync's news whole after an outage, and says what can't be carried any more."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

import structlog

from bridges.matrix.client import Client
from bridges.matrix.gap import MAX_PAGES, MAX_PAGES_UNROUTED, Closed, Gap, History
from bridges.matrix.notices import Notices
from bridges.matrix.rooms import Rooms
from bridges.matrix.sync import RoomNews
from gateway.model import BridgeContext

log = structlog.get_logger()

MAX_LOSSES = 20
"""Rooms of which it is remembered what they lost, until the next start."""


class CatchUp:
    """Gives what was said while we were away, in order, before what the sync holds."""

    def __init__(self, client: Client, context: BridgeContext, rooms: Rooms, notices: Notices) -> None:
        self._history = History(client, context.clock.sleep)
        self._context = context
        self._rooms = rooms
        self._notices = notices
        self._losses: OrderedDict[str, str] = OrderedDict()

    async def slices(
        self, news: RoomNews, since: str, is_message: Callable[[object], bool]
    ) -> AsyncGenerator[RoomNews]:
        """Yield what the sync left out, a page at a time, and at last the news. Raises LinkDown, AuthFailed."""
        try:
            if news.prev_batch:
                limit = MAX_PAGES if self._rooms.is_routed(news.room_id) else MAX_PAGES_UNROUTED
                gap = await self._history.survey(news, since, max_pages=limit, is_message=is_message)
                async with aclosing(self._history.slices(gap)) as slices:
                    async for part in slices:
                        yield part
                await self._tell(gap)  # last: what is interrupted comes again, and would be counted twice
        except Closed as closed:
            self._context.count("matrix_gap_refused")
            log.warning("matrix_gap_refused", bridge=self._context.name, room=news.room_id, reason=str(closed))
            self._note(self._rooms.origin(news.room_id), f"what was said while away can't be read: {closed}")
        yield news

    def since_refused(self, reason: str) -> None:
        """Note that the homeserver didn't know where we were, so what was said meanwhile isn't carried."""
        self._context.count("matrix_since_refused")
        log.error("matrix_since_refused", bridge=self._context.name, reason=reason)
        self._note("all rooms", "the homeserver no longer knew where we had been: what was said while away is lost")

    def facts(self) -> Mapping[str, str]:
        """Return what was not carried and why, in words; empty if nothing."""
        lost = "; ".join(f"{where}: {why}" for where, why in self._losses.items())
        return {"not_carried": lost} if lost else {}

    async def _tell(self, gap: Gap) -> None:
        if gap.lost == 0 and gap.is_lost_known:
            return
        room_id = gap.news.room_id
        number = f"{gap.lost}" if gap.is_lost_known else f"at least {gap.lost}"
        for _ in range(gap.lost):
            self._context.count("matrix_not_carried")
        self._context.count("matrix_catchup_cut")
        log.warning("matrix_catchup_cut", bridge=self._context.name, room=room_id, lost=number)
        self._note(self._rooms.origin(room_id), f"{number} messages from while away are too many to catch up on")
        if gap.lost and gap.is_lost_known and self._rooms.is_routed(room_id) and not self._rooms.is_closed(room_id):
            words = f"{gap.lost} messages from while I was away were not carried."
            await self._notices.say(room_id, words, about=f"lost since {gap.since}")

    def _note(self, where: str, why: str) -> None:
        self._losses[where] = why
        self._losses.move_to_end(where)
        if len(self._losses) > MAX_LOSSES:
            self._losses.popitem(last=False)
