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


def test_what_a_sync_says_to_our_device_is_read() -> None:
    keys = read_batch(
        {
            "next_batch": "n",
            "to_device": {"events": [{"type": "m.dummy"}]},
            "device_lists": {"changed": ["@ali:gw.test", None, "no user"], "left": ["@bea:gw.test"]},
            "device_one_time_keys_count": {"signed_curve25519": 7},
            "device_unused_fallback_key_types": [],
        },
        US,
    ).keys
    assert keys.to_device == [{"type": "m.dummy"}]
    assert (keys.changed, keys.left) == (("@ali:gw.test",), ("@bea:gw.test",))
    assert (keys.one_time_keys, keys.has_fallback_key) == (7, False)


@pytest.mark.parametrize(
    ("counts", "left"), [({}, 0), (None, None), ([], None), ({"signed_curve25519": "7"}, None), ({"other": 1}, 0)]
)
def test_one_time_keys_that_are_not_listed_are_used_up_and_unlisted_counts_say_nothing(
    counts: Any, left: int | None
) -> None:
    keys = read_batch({"next_batch": "n", "device_one_time_keys_count": counts, "to_device": 3}, US).keys
    assert (keys.one_time_keys, keys.has_fallback_key, keys.to_device) == (left, True, ())


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
