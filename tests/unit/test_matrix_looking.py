# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a look at what other gateways said in a room goes back, and what it makes of a homeserver's answers."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bridges.matrix.client import Client, Refused
from bridges.matrix.looking import MAX_PAGES, Looking
from bridges.matrix.sync import PAGE
from gateway.clock import ManualClock
from gateway.model import AuthFailed, BridgeContext, BridgeName, LinkDown, NotThere, Overheard

US = "@us:gw.test"


def event(number: int, **more: Any) -> dict[str, Any]:
    content = {"msgtype": "m.text", "body": f"text {number}", "org.crossband.id": f"key{number}.0"}
    return {"event_id": f"${number}", "sender": "@valley:gw.test", "content": content, "unsigned": {"age": 500}} | more


class Room(Client):
    """A homeserver's /messages going back over a list of events, newest first."""

    def __init__(self) -> None:
        super().__init__("http://gw.test", US)
        self.events: list[Any] = []
        self.asked: list[int] = []
        self.fails: list[Exception] = []

    async def get(
        self, *path: str, query: Mapping[str, str | int] | None = None, timeout_s: float | None = None
    ) -> Mapping[str, Any]:
        assert path == ("rooms", "!r", "messages")
        assert query is not None
        wanted = json.loads(str(query["filter"]))
        assert wanted["not_senders"] == [US]
        assert "m.room.encrypted" in wanted["types"]
        if self.fails:
            raise self.fails.pop()
        start = int(query.get("from", 0))
        self.asked.append(start)
        end = start + PAGE
        return {"chunk": self.events[start:end]} | ({"end": str(end)} if end < len(self.events) else {})


class Eye:
    def __init__(self, *events: Any) -> None:
        self.server = Room()
        self.server.events = list(events)
        self.counts: list[str] = []
        self.told: list[Overheard] = []
        context = BridgeContext(
            name=BridgeName("home"),
            table={},
            state_dir=Path(),
            clock=ManualClock(),
            random=random.Random(1),
            count=self.counts.append,
            overheard=lambda conversation, said: self.told.append(said) if conversation == "#town" else None,
        )
        self.looking = Looking(self.server, context, lambda _, __: "", US.__eq__)

    async def look(self) -> list[str]:
        del self.told[:], self.server.asked[:]
        await self.looking.look("!r", "#town")
        return [said.key for said in self.told]


async def test_each_look_goes_back_to_where_the_one_before_it_began() -> None:
    eye = Eye(*(event(number) for number in range(250)))
    assert len(await eye.look()) == 250
    assert eye.server.asked == [0, PAGE, 2 * PAGE]
    assert (eye.told[0].age_s, eye.told[0].is_ours) == (0.5, False)
    eye.server.events[:0] = [event(1001), event(1000)]
    assert await eye.look() == ["key1001.0", "key1000.0"]
    assert await eye.look() == []
    assert eye.server.asked == [0]


async def test_what_people_said_ends_a_look_where_it_began_too() -> None:
    eye = Eye(event(2, content={"msgtype": "m.text", "body": "hello"}), event(1))
    assert await eye.look() == ["key1.0"]
    assert await eye.look() == []


async def test_a_look_ends_after_so_many_pages_and_is_counted() -> None:
    eye = Eye(*(event(number) for number in range(MAX_PAGES * PAGE + 1)))
    assert len(await eye.look()) == MAX_PAGES * PAGE
    assert eye.counts == ["matrix_look_cut"]


async def test_of_what_is_sealed_the_key_is_told() -> None:
    sealed = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "org.crossband.id": "sealed.0"}
    eye = Eye(event(1, type="m.room.encrypted", content=sealed))
    assert await eye.look() == ["sealed.0"]
    assert eye.told[0].words == ""


async def test_an_answer_of_any_shape_is_nothing_said() -> None:
    eye = Eye(None, 7, {}, {"event_id": 7}, event(1))
    assert await eye.look() == ["key1.0"]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Refused("no", status=403, errcode="M_FORBIDDEN"), NotThere),
        (AuthFailed("no more"), LinkDown),
        (LinkDown("away"), LinkDown),
    ],
)
async def test_where_it_may_not_or_can_not_look_now_it_says_so(failure: Exception, error: type[Exception]) -> None:
    eye = Eye(event(1))
    eye.server.fails.append(failure)
    with pytest.raises(error):
        await eye.look()


async def test_a_homeserver_that_can_not_be_asked_so_keeps_nothing_waiting() -> None:
    eye = Eye(event(1))
    eye.server.fails.append(Refused("no such filter", status=400, errcode="M_UNKNOWN"))
    assert await eye.look() == []
    assert eye.counts == ["matrix_look_refused"]
