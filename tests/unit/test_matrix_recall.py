# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bridges.matrix.client import Client, Refused
from bridges.matrix.recall import MAX_PAGES, REMEMBERED_MS, Recall
from bridges.matrix.sync import PAGE
from gateway.clock import ManualClock
from gateway.model import BridgeContext, BridgeName, LinkDown, NotThere, RateLimited

US = "@us:gw.test"
HOUR = 3_600_000
NOW = 1_795_701_720_000


def event(number: int, *, key: object = "other.0", sender: str = US, at_ms: int = NOW, **more: Any) -> dict[str, Any]:
    content = {"body": "x", "org.crossband.id": key}
    return {"event_id": f"${number}", "sender": sender, "origin_server_ts": at_ms, "content": content, **more}


class Room(Client):
    """A homeserver's /messages going back over a list of events, newest first."""

    def __init__(self, events: list[Any]) -> None:
        super().__init__("http://gw.test", US)
        self.events = events
        self.asked: list[int] = []
        self.fails: list[Exception] = []

    async def get(
        self, *path: str, query: Mapping[str, str | int] | None = None, timeout_s: float | None = None
    ) -> Mapping[str, Any]:
        assert path == ("rooms", "!r", "messages")
        assert query is not None
        assert (query["dir"], query["filter"]) == ("b", f'{{"senders": ["{US}"]}}')
        if self.fails:
            raise self.fails.pop()
        start = int(query.get("from", 0))
        self.asked.append(start)
        end = start + PAGE
        return {"chunk": self.events[start:end]} | ({"end": str(end)} if end < len(self.events) else {})


class Looking:
    def __init__(self, *events: Any) -> None:
        self.server = Room(list(events))
        self.counts: list[str] = []
        self.clock = ManualClock(NOW)
        context = BridgeContext(
            name=BridgeName("home"),
            table={},
            state_dir=Path(),
            clock=self.clock,
            random=random.Random(1),
            count=self.counts.append,
        )
        self.recall = Recall(self.server, context)

    async def find(self, since_ms: int = NOW - 24 * HOUR) -> str | None:
        return await self.recall.find("!r", "key.0", since_ms)


async def test_what_carries_the_key_is_found_however_many_of_ours_came_after() -> None:
    later = [event(n) for n in range(250)]
    looking = Looking(*later, event(999, key="key.0"), event(1000))
    assert await looking.find() == "$999"
    assert looking.server.asked == [0, PAGE, 2 * PAGE]


async def test_only_our_own_word_counts() -> None:
    strange = [None, 7, {}, {"sender": US, "content": {"org.crossband.id": "key.0"}}, event(1, key=["key.0"])]
    looking = Looking(event(2, key="key.0", sender="@eve:gw.test"), event(3, key="key.1"), *strange)
    assert await looking.find() is None


async def test_it_looks_no_further_back_than_the_first_try_but_for_clocks_that_differ() -> None:
    just_before = [event(n, at_ms=NOW - 24 * HOUR - HOUR // 2) for n in range(PAGE)]
    long_before = [event(n, at_ms=NOW - 26 * HOUR) for n in range(PAGE)]
    looking = Looking(*just_before, *long_before, event(999, key="key.0"))
    assert await looking.find() is None
    assert looking.server.asked == [0, PAGE]


async def test_how_old_a_stranger_says_to_be_ends_no_search() -> None:
    looking = Looking(event(1, sender="@eve:evil.test", at_ms=0), *[None] * PAGE, event(2, key="key.0"))
    assert await looking.find() == "$2"


async def test_what_a_ghost_said_late_shows_a_time_that_ends_no_search() -> None:
    late = event(1, at_ms=NOW - 99 * HOUR)
    late["content"]["org.crossband.said_ms"] = NOW - 99 * HOUR
    looking = Looking(late, *[None] * PAGE, event(2, key="key.0"))
    assert await looking.find() == "$2"


async def test_a_page_of_nothing_is_not_the_end() -> None:
    looking = Looking(*[None] * PAGE, event(1, key="key.0"))
    assert await looking.find() == "$1"


async def test_past_the_bound_it_gives_up_and_says_so() -> None:
    looking = Looking(*(event(n) for n in range(MAX_PAGES * PAGE)), event(9999, key="key.0"))
    assert await looking.find() is None
    assert len(looking.server.asked) == MAX_PAGES
    assert looking.counts == ["matrix_recall_cut"]


@pytest.mark.parametrize("error", [LinkDown("gone"), RateLimited("slow", retry_after_s=3)])
async def test_where_nobody_answers_nothing_is_known(error: Exception) -> None:
    looking = Looking(event(1, key="key.0"))
    looking.server.fails = [error]
    with pytest.raises(type(error)):
        await looking.find()
    assert await looking.find() == "$1"


async def test_a_room_that_may_not_be_looked_into_waits_and_a_server_that_cannot_be_asked_holds_up_nothing() -> None:
    looking = Looking(event(1, key="key.0"))
    looking.server.fails = [Refused("no", status=403, errcode="M_FORBIDDEN")]
    with pytest.raises(NotThere):
        await looking.find()
    looking.server.fails = [Refused("what?", status=400, errcode="M_MISSING_PARAM")]
    assert await looking.find() is None
    assert looking.counts == ["matrix_recall_refused"]


def test_keys_are_relied_on_within_a_connection_and_not_for_long() -> None:
    looking = Looking()
    looking.recall.connected()
    assert looking.recall.remembers_since_ms() == NOW
    looking.clock.advance(REMEMBERED_MS / 1000 + 60)
    assert looking.recall.remembers_since_ms() == NOW + 60_000
