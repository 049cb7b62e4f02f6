# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.sync import Invite, RoomNews, read_batch, since_join
from gateway.model import LinkDown

US = "@us:gw.test"


def said(number: int, sender: str = "@ali:gw.test") -> dict[str, Any]:
    return {"type": "m.room.message", "event_id": f"${number:05}", "sender": sender, "content": {"body": str(number)}}


def joining(number: int, before: str | None = None, who: str = US) -> dict[str, Any]:
    unsigned = {} if before is None else {"prev_content": {"membership": before}}
    content = {"membership": "join"}
    return said(number) | {"type": "m.room.member", "state_key": who, "content": content, "unsigned": unsigned}


def test_a_new_name_is_not_a_new_joining() -> None:
    events = [said(1), joining(2, "join"), joining(3, None, "@ali:gw.test"), said(4)]
    assert since_join(events, US) == (events, False)
    assert since_join([*events, joining(5), said(6)], US) == ([said(6)], True)


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
