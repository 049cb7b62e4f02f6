# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.client import Client, Refused
from bridges.matrix.sync import MAX_CATCHUP, PAGE, Invite, RoomNews, fill_gap, read_batch, since_join
from gateway.model import LinkDown

US = "@us:gw.test"


def said(number: int, sender: str = "@ali:gw.test") -> dict[str, Any]:
    return {"type": "m.room.message", "event_id": f"${number:05}", "sender": sender, "content": {"body": str(number)}}


def joining(number: int, before: str | None = None, who: str = US) -> dict[str, Any]:
    unsigned = {} if before is None else {"prev_content": {"membership": before}}
    content = {"membership": "join"}
    return said(number) | {"type": "m.room.member", "state_key": who, "content": content, "unsigned": unsigned}


class History(Client):
    """A homeserver's /messages over a list of events, oldest first; tokens are positions."""

    def __init__(self, events: list[Any]) -> None:
        super().__init__("http://gw.test", US)
        self.events = events
        self.pages = 0

    async def get(
        self, *path: str, query: Mapping[str, str | int] | None = None, timeout_s: float | None = None
    ) -> Mapping[str, Any]:
        assert path[-1] == "messages"
        assert query is not None
        self.pages += 1
        end = int(query["from"])
        start = max(int(query["to"]), end - PAGE)
        more = {"end": str(start)} if start > int(query["to"]) else {}
        return {"chunk": self.events[start:end][::-1], **more}


async def filled(history: list[Any], *, upto: int, timeline: list[Any]) -> tuple[RoomNews, list[str]]:
    counts: list[str] = []
    news = RoomNews(room_id="!r", events=timeline, prev_batch=str(upto))
    return await fill_gap(History(history), news, "0", counts.append), counts


@pytest.mark.parametrize("missed", [0, 1, 99, 100, 101, 250, MAX_CATCHUP])
async def test_a_gap_is_filled_exactly_and_in_order(missed: int) -> None:
    events = [said(n) for n in range(missed + 10)]
    news, counts = await filled(events, upto=missed, timeline=events[missed:])
    assert list(news.events) == events
    assert counts == []


async def test_pages_that_overlap_double_nothing() -> None:
    events = [said(n) for n in range(150)]
    news, _ = await filled(events, upto=145, timeline=events[130:])
    assert list(news.events) == events


async def test_our_own_words_do_not_count_as_missed() -> None:
    events = [said(n, US) for n in range(2 * MAX_CATCHUP)] + [said(n) for n in range(2000, 2010)]
    news, counts = await filled(events, upto=len(events), timeline=[])
    assert list(news.events) == events[-10:]
    assert counts == []


async def test_past_the_limit_the_newest_are_kept_and_it_is_counted() -> None:
    events = [said(n) for n in range(900)]
    news, counts = await filled(events, upto=890, timeline=events[890:])
    assert list(news.events) == events[890 - MAX_CATCHUP :]
    assert counts == ["matrix_catchup_cut"]


@pytest.mark.parametrize("at", [3, 120, 255])
async def test_what_was_said_before_we_came_is_left_out(at: int) -> None:
    events: list[Any] = [said(n) for n in range(260)]
    events[at] = joining(at, "invite")
    news, _ = await filled(events, upto=250, timeline=events[250:])
    assert list(news.events) == events[at + 1 :]


def test_a_new_name_is_not_a_new_joining() -> None:
    events = [said(1), joining(2, "join"), joining(3, None, "@ali:gw.test"), said(4)]
    assert since_join(events, US) == (events, False)
    assert since_join([*events, joining(5), said(6)], US) == ([said(6)], True)


async def test_a_room_that_refuses_its_past_gives_what_the_sync_had() -> None:
    class Closed(History):
        async def get(self, *path: str, **_: Any) -> Mapping[str, Any]:
            raise Refused("no", status=403, errcode="M_FORBIDDEN")

    news = RoomNews(room_id="!r", events=[said(1)], prev_batch="5")
    assert list((await fill_gap(Closed([]), news, "0", print)).events) == [said(1)]


def test_a_sync_is_read() -> None:
    invite = {"invite_state": {"events": [{"type": "m.room.member", "state_key": US, "sender": "@ali:gw.test"}]}}
    timeline = {"events": [said(1)], "limited": True, "prev_batch": "p"}
    batch = read_batch(
        {
            "next_batch": "n",
            "rooms": {
                "join": {"!a": {"timeline": timeline, "state": {"events": [said(2)]}}, "not a room": {}, "!b": None},
                "invite": {"!c": invite, "!d": 5},
                "leave": {"!e": {}},
            },
        },
        US,
    )
    assert batch.next_batch == "n"
    assert batch.rooms == (
        RoomNews(room_id="!a", state=[said(2)], events=[said(1)], prev_batch="p"),
        RoomNews(room_id="!b"),
    )
    assert batch.invites == (Invite(room_id="!c", inviter="@ali:gw.test"), Invite(room_id="!d", inviter=None))
    assert batch.left == ("!e",)
    assert read_batch({"next_batch": "n"}, US).is_empty


def test_a_sync_without_a_token_is_no_sync() -> None:
    with pytest.raises(LinkDown):
        read_batch({"next_batch": 7}, US)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["!a", "events", "timeline", "state", "invite_state", "join", "invite", "leave", "limited"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(JSON)
def test_a_sync_of_any_shape_is_read(rooms: Any) -> None:
    batch = read_batch({"next_batch": "n", "rooms": rooms}, US)
    for news in batch.rooms:
        since_join(news.events, US)
