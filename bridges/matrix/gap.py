# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a long poll left out after an outage: all of it, oldest first, a page in memory at a time.

`/messages` is walked back once, from where the sync's timeline begins to our token, noting only
where each page begins; then the pages are asked for again from the oldest on. Walking forward
would do with half the requests, but Synapse's forward pages have no lower bound after the first:
events that a partitioned server brought late would bring others again that were taken long ago.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from bridges.matrix.client import Client, Refused
from bridges.matrix.plain import valid_id
from bridges.matrix.sync import MEMBERS, PAGE, RoomNews, since_join
from bridges.matrix.wire import mapping, sequence, text
from gateway.model import LinkDown, RateLimited

MAX_PAGES = 1_000
"""Of 100 events each (24 hours of more than one a second), in a room that a route names."""
MAX_PAGES_UNROUTED = 10
"""In other rooms, which nothing is carried from but answers and commands."""
COUNTED_PAGES = 1_000
"""Past the limit, how many more are read to tell how much is lost."""
PATIENCE_S = 5.0
"""How long to wait where the homeserver asks for patience and doesn't say how long."""

_FILTER = json.dumps(MEMBERS)
_CLOSED = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


class Closed(Exception):
    """The homeserver doesn't let us read this room's past: more tries would change nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One page, going back: where it begins, and its oldest event, which shows it is the same again."""

    token: str
    edge: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What a sync left out of one room."""

    news: RoomNews
    since: str
    marks: tuple[Mark, ...] = ()
    """Newest page first."""
    oldest: Mapping[str, Any] | None = None
    """The page of the last mark, in hand already."""
    lost: int = 0
    """Messages before the oldest page, which won't be carried."""
    is_lost_known: bool = True
    """Whether `lost` is all of them."""


class History:
    """Reads rooms' pasts, a page at a time. `sleep` is for a homeserver that asks for patience."""

    def __init__(self, client: Client, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._client = client
        self._sleep = sleep

    async def survey(self, news: RoomNews, since: str, *, max_pages: int, is_message: Callable[[object], bool]) -> Gap:
        """Return where the pages are between our token and the news, from our own joining on.

        `is_message` says what is counted among what is beyond `max_pages`. Raises LinkDown,
        AuthFailed, and Closed.
        """
        marks: list[Mark] = []
        oldest: Mapping[str, Any] | None = None
        lost = 0
        token = "" if since_join(news.events, self._client.user_id)[1] else news.prev_batch
        for _ in range(max_pages + COUNTED_PAGES):
            if not token:
                break
            page = await self._page(news.room_id, token, since)
            if len(marks) < max_pages:
                marks.append(Mark(token=token, edge=_edge(page)))
                oldest = page
            else:
                lost += sum(map(is_message, self._events(page)))
            token = self._further(page, token)
        return Gap(news=news, since=since, marks=tuple(marks), oldest=oldest, lost=lost, is_lost_known=not token)

    async def slices(self, gap: Gap) -> AsyncGenerator[RoomNews]:
        """Yield what was left out in order, each event once and none that the news itself holds.

        Raises as `survey`; LinkDown also if the past isn't what it was.
        """
        before = _ids(gap.news.events)
        last: frozenset[str] = frozenset()
        for mark in reversed(gap.marks):
            page = gap.oldest if mark is gap.marks[-1] else None
            if page is None:
                page = await self._page(gap.news.room_id, mark.token, gap.since)
                if mark.edge != _edge(page):
                    raise LinkDown("a room's past changed while it was read")
            events = self._events(page)
            fresh = [event for event in events if _ids([event]).isdisjoint(before | last)]
            last = _ids(events)
            yield RoomNews(room_id=gap.news.room_id, state=sequence(page.get("state")), events=fresh)

    def _events(self, page: Mapping[str, Any]) -> Sequence[Any]:
        """Return what others may hear of, oldest first."""
        return since_join(sequence(page.get("chunk"))[::-1], self._client.user_id)[0]

    def _further(self, page: Mapping[str, Any], token: str) -> str:
        # A page can be empty and yet not the last: all of it may be hidden from us.
        end = text(page.get("end"))
        is_joining = since_join(sequence(page.get("chunk"))[::-1], self._client.user_id)[1]
        return "" if is_joining or end == token else end

    async def _page(self, room_id: str, token: str, since: str) -> Mapping[str, Any]:
        query: dict[str, str | int] = {"from": token, "to": since, "dir": "b", "limit": PAGE, "filter": _FILTER}
        while True:
            try:
                return await self._client.get("rooms", room_id, "messages", query=query)
            except RateLimited as error:  # here, lest all that was read so far is read again
                await self._sleep(error.retry_after_s or PATIENCE_S)
            except Refused as refused:
                if refused.status in _CLOSED:
                    raise Closed(str(refused)) from refused
                raise LinkDown(f"a room's past can't be read: {refused}") from refused


def _edge(page: Mapping[str, Any]) -> str:
    chunk = sequence(page.get("chunk"))
    return text(mapping(chunk[-1]).get("event_id")) if chunk else ""


def _ids(events: Sequence[Any]) -> frozenset[str]:
    ids = (valid_id(mapping(event).get("event_id"), "$") for event in events)
    return frozenset(event_id for event_id in ids if event_id is not None)
