# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import pytest

from bridges.matrix.client import Client, Refused
from bridges.matrix.gap import Closed, Gap, History
from bridges.matrix.sync import PAGE, RoomNews
from bridges.matrix.wire import mapping
from gateway.model import BridgeError, LinkDown, RateLimited

US = "@us:gw.test"


def said(number: int, sender: str = "@ali:gw.test") -> dict[str, Any]:
    return {"type": "m.room.message", "event_id": f"${number:05}", "sender": sender, "content": {"body": str(number)}}


def joining(number: int) -> dict[str, Any]:
    content = {"membership": "join"}
    unsigned = {"prev_content": {"membership": "invite"}}
    return said(number) | {"type": "m.room.member", "state_key": US, "content": content, "unsigned": unsigned}


class Server(Client):
    """A homeserver's /messages over a list of events, oldest first; tokens are positions."""

    def __init__(self, events: list[Any]) -> None:
        super().__init__("http://gw.test", US)
        self.events = events
        self.asked: list[int] = []
        self.fails: list[BridgeError] = []

    async def get(
        self, *path: str, query: Mapping[str, str | int] | None = None, timeout_s: float | None = None
    ) -> Mapping[str, Any]:
        assert path[-1] == "messages"
        assert query is not None
        if self.fails:
            raise self.fails.pop()
        end = int(query["from"])
        self.asked.append(end)
        start = max(int(query["to"]), end - PAGE)
        more = {"end": str(start)} if start > int(query["to"]) else {}
        return {"chunk": [event for event in self.events[start:end][::-1] if event is not None], **more}


class Past:
    """A room's past, `upto` of whose events came before the sync's timeline."""

    def __init__(self, events: list[Any], *, upto: int, timeline: list[Any] | None = None) -> None:
        self.server = Server(events)
        self.waits: list[float] = []
        self.history = History(self.server, self.wait)
        self.news = RoomNews(room_id="!r", events=events[upto:] if timeline is None else timeline, prev_batch=str(upto))

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def survey(self, max_pages: int = 50) -> Gap:
        return await self.history.survey(
            self.news, "0", max_pages=max_pages, is_message=lambda event: mapping(event).get("sender") != US
        )

    async def missed(self, gap: Gap | None = None) -> list[Any]:
        gap = gap or await self.survey()
        async with aclosing(self.history.slices(gap)) as slices:
            return [event async for part in slices for event in part.events]


@pytest.mark.parametrize("missed", [0, 1, 99, 100, 101, 250, 2_050])
async def test_a_gap_is_filled_exactly_and_in_order(missed: int) -> None:
    events = [said(n) for n in range(missed + 10)]
    past = Past(events, upto=missed)
    assert await past.missed() == events[:missed]
    assert len(past.server.asked) <= 2 * (missed // PAGE) + 1, "each page twice, but the oldest"


async def test_no_more_than_a_page_is_read_ahead() -> None:
    past = Past([said(n) for n in range(510)], upto=510)
    gap = await past.survey()
    past.server.asked.clear()
    async with aclosing(past.history.slices(gap)) as slices:
        first = await anext(slices)
        assert past.server.asked == []
        await anext(slices)
        assert past.server.asked == [110]
    assert first.events == [said(n) for n in range(10)]


async def test_pages_that_overlap_the_sync_double_nothing() -> None:
    events = [said(n) for n in range(150)]
    assert await Past(events, upto=145, timeline=events[130:]).missed() == events[:130]


async def test_a_page_of_which_all_is_hidden_is_not_the_last() -> None:
    events: list[Any] = [said(n) for n in range(350)]
    events[120:290] = [None] * 170
    past = Past(events, upto=330, timeline=[])
    assert await past.missed() == events[:120] + events[290:330]


async def test_past_the_limit_the_newest_are_kept_and_the_others_counted() -> None:
    events = [said(n, US if n % 2 else "@ali:gw.test") for n in range(900)]
    past = Past(events, upto=900, timeline=[])
    gap = await past.survey(max_pages=3)
    assert (gap.lost, gap.is_lost_known) == (300, True)
    assert await past.missed(gap) == events[600:]


@pytest.mark.parametrize("at", [3, 120, 255])
async def test_what_was_said_before_we_came_is_left_out(at: int) -> None:
    events: list[Any] = [said(n) for n in range(260)]
    events[at] = joining(at)
    assert await Past(events, upto=250).missed() == events[at + 1 : 250]


@pytest.mark.parametrize("status", [403, 404])
async def test_a_room_that_refuses_its_past_says_so(status: int) -> None:
    past = Past([said(1)], upto=1)
    past.server.fails = [Refused("no", status=status, errcode="M_ANY")]
    with pytest.raises(Closed):
        await past.survey()


async def test_any_other_refusal_is_tried_again_and_skips_nothing() -> None:
    past = Past([said(1)], upto=1)
    past.server.fails = [Refused("what?", status=400, errcode="M_UNKNOWN")]
    with pytest.raises(LinkDown):
        await past.survey()


async def test_patience_is_given_without_reading_again_what_was_read() -> None:
    events = [said(n) for n in range(250)]
    past = Past(events, upto=250)
    past.server.fails = [RateLimited("slow"), RateLimited("slow", retry_after_s=2.0)]
    assert await past.missed() == events
    assert past.waits == [2.0, 5.0]


async def test_a_past_that_changed_meanwhile_is_read_anew() -> None:
    past = Past([said(n) for n in range(250)], upto=250)
    gap = await past.survey()
    past.server.events.insert(20, said(9_999))
    with pytest.raises(LinkDown):
        await past.missed(gap)
