# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in an encrypted room."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bridges.matrix.crypto.audience import MEGOLM, Audience, Rotation
from bridges.matrix.crypto.sealing import must_rotate


class Homeserver:
    """Answers for one room; `meanwhile` happens while the members are asked for."""

    def __init__(self) -> None:
        self.members = {"@ali:x": "join", "@bea:x": "invite", "@cem:x": "ban"}
        self.asked = 0
        self.meanwhile: Callable[[], None] = lambda: None

    async def get(self, *path: str, query: Any = None) -> Any:
        if path[-1] != "members":
            return {"algorithm": MEGOLM, "rotation_period_msgs": 5}
        assert query == {"not_membership": "leave"}
        self.asked += 1
        answer = {"chunk": [member(user, membership) for user, membership in self.members.items()] + [None, {}]}
        self.meanwhile()
        return answer


def member(user: str, membership: str) -> dict[str, Any]:
    return {"type": "m.room.member", "state_key": user, "content": {"membership": membership}}


@pytest.fixture
def homeserver() -> Homeserver:
    return Homeserver()


@pytest.fixture
def audience(homeserver: Homeserver) -> Audience:
    return Audience(homeserver)  # type: ignore[arg-type] # the part of a client that is used


async def test_members_are_asked_for_once_and_followed_from_then_on(homeserver: Homeserver, audience: Audience) -> None:
    assert (await audience.room("!r")).members == {"@ali:x", "@bea:x"}
    audience.see("!r", member("@dan:x", "join"))
    audience.see("!r", member("@ali:x", "leave"))
    audience.see("!r", {"type": "m.room.message"})
    room = await audience.room("!r")
    assert room.members == {"@bea:x", "@dan:x"}
    assert (room.algorithm, room.rotation.max_messages, homeserver.asked) == (MEGOLM, 5, 1)

    audience.forget("!r")
    await audience.room("!r")
    audience.see("!r", {"type": "m.room.encryption", "state_key": "", "content": {}})
    await audience.room("!r")
    assert homeserver.asked == 3


async def test_who_comes_while_the_members_are_asked_for_is_not_left_out(
    homeserver: Homeserver, audience: Audience
) -> None:
    def joins() -> None:
        homeserver.members["@dan:x"] = "join"
        homeserver.meanwhile = lambda: None
        audience.see("!r", member("@dan:x", "join"))

    homeserver.meanwhile = joins
    assert "@dan:x" in (await audience.room("!r")).members
    assert homeserver.asked == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, Rotation()),
        ({"rotation_period_ms": 86_400_000, "rotation_period_msgs": 250}, (timedelta(days=1), 250)),
        ({"rotation_period_ms": 1, "rotation_period_msgs": 10**12}, (timedelta(hours=1), 10_000)),
        ({"rotation_period_ms": "x", "rotation_period_msgs": True}, Rotation()),
        ({"rotation_period_ms": -5, "rotation_period_msgs": 0}, Rotation()),
        ({"rotation_period_ms": 10**30}, (timedelta(days=365), 100)),
    ],
)
def test_a_rooms_wish_for_new_keys_is_followed_within_bounds(content: dict[str, Any], expected: Any) -> None:
    got = Rotation.from_content(content)
    assert expected in (got, (got.max_age, got.max_messages))


def test_a_device_that_should_read_no_more_means_a_new_key() -> None:
    ali, bea = ("@ali:x", "A"), ("@bea:x", "B")
    assert must_rotate(None, {ali})
    assert must_rotate({ali, bea}, {ali})
    assert not must_rotate({ali}, {ali, bea})
    assert not must_rotate(set(), set())
