# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridges.matrix.authors import MAX_EVENTS, Authors
from bridges.matrix.client import Client, Refused
from bridges.matrix.members import MAX_MEMBERS, Members


def member(name: Any, user: str = "@ali:gw.test") -> dict[str, Any]:
    return {"type": "m.room.member", "state_key": user, "content": {"displayname": name}}


def test_names_are_by_room_and_the_last_one_counts() -> None:
    members = Members()
    members.learn("!a", member("Ali"))
    members.learn("!a", member("Ali of the hill"))
    members.learn("!b", member("Other"))
    assert members.name("!a", "@ali:gw.test") == "Ali of the hill"
    assert members.name("!a", "@bea:gw.test") == ""
    members.learn("!a", member(None))
    assert members.name("!a", "@ali:gw.test") == ""


def test_no_more_names_are_kept_than_there_is_room_for() -> None:
    members = Members()
    for number in range(MAX_MEMBERS + 10):
        members.learn("!a", member("x", f"@u{number}:gw.test"))
        members.name("!a", "@u0:gw.test")
    assert members.name("!a", "@u0:gw.test") == "x"
    assert members.name("!a", "@u5:gw.test") == ""


def test_events_of_any_shape_teach_nothing() -> None:
    members = Members()
    for event in (None, [], {}, member("x", "nobody"), {"type": "m.room.member", "state_key": 3}):
        members.learn("!a", event)
    assert members.name("!a", "nobody") == ""


class Server(Client):
    def __init__(self) -> None:
        super().__init__("http://gw.test", "@us:gw.test")
        self.asked = 0

    async def get(self, *path: str, **_: Any) -> Mapping[str, Any]:
        self.asked += 1
        if path[-1] == "$unknown":
            raise Refused("no", status=404, errcode="M_NOT_FOUND")
        return {"event_id": path[-1], "sender": "@ali:gw.test"}


async def test_an_author_is_remembered_or_asked_for() -> None:
    server = Server()
    authors = Authors(server)
    authors.learn({"event_id": "$seen", "sender": "@bea:gw.test"})
    for event in (None, {}, {"event_id": 3, "sender": "@bea:gw.test"}):
        authors.learn(event)
    assert await authors.author("!a", "$seen") == "@bea:gw.test"
    assert server.asked == 0
    for _ in range(2):
        assert await authors.author("!a", "$old") == "@ali:gw.test"
    assert server.asked == 1
    assert await authors.author("!a", "$unknown") is None


async def test_no_more_authors_are_kept_than_there_is_room_for() -> None:
    server = Server()
    authors = Authors(server)
    for number in range(MAX_EVENTS + 1):
        authors.learn({"event_id": f"${number}", "sender": "@bea:gw.test"})
    assert await authors.author("!a", "$0") == "@ali:gw.test"
    assert server.asked == 1
