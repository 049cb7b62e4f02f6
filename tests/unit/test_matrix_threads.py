# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bridges.matrix.client import Client, Refused
from bridges.matrix.roster import MAX_MEMBERS, MAX_ROOMS, Roster, unambiguous
from bridges.matrix.threads import MAX_EVENTS, Standing, Threads, standing_of
from gateway.model import RateLimited


def threaded(event_id: str, root: Any = "$root", kind: str = "m.thread") -> dict[str, Any]:
    return {"event_id": event_id, "content": {"m.relates_to": {"rel_type": kind, "event_id": root}}}


class Server(Client):
    def __init__(self, *answers: Mapping[str, Any] | Exception) -> None:
        super().__init__("http://gw.test", "@us:gw.test")
        self.asked: list[tuple[str, ...]] = []
        self.answers = list(answers)

    async def get(self, *path: str, **_: Any) -> Mapping[str, Any]:
        self.asked.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


REFUSED = Refused("no", status=404, errcode="M_NOT_FOUND")


@pytest.mark.parametrize(
    ("event", "standing"),
    [
        (threaded("$1"), Standing(root="$root")),
        (threaded("$1", kind="m.replace"), Standing(original="$root")),
        (threaded("$1", kind="m.annotation"), Standing()),
        (threaded("$1", root=3), Standing()),
        (None, Standing()),
        ({"content": []}, Standing()),
    ],
)
def test_a_thread_is_named_by_its_first_event_and_an_edit_by_what_it_edits(event: object, standing: Standing) -> None:
    assert standing_of(event) == standing


async def test_an_answer_to_an_edit_is_one_to_its_original() -> None:
    threads = Threads(Server(REFUSED))
    threads.learn(threaded("$edit", "$said", kind="m.replace"))
    assert [await threads.original("!a", event) for event in ("$edit", "$gone")] == ["$said", "$gone"]


async def test_what_was_seen_is_known_and_the_rest_is_asked_for_once() -> None:
    server = Server(threaded("$elsewhere"), {"event_id": "$alone"}, REFUSED)
    threads = Threads(server)
    threads.learn(threaded("$seen", "$first"))
    threads.learn({"event_id": 3})
    asked = [await threads.root("!a", event) for event in ("$seen", "$old", "$old", "$alone", "$alone", "$gone")]
    assert asked == ["$first", "$root", "$root", "", "", ""]
    assert [path[-1] for path in server.asked] == ["$old", "$alone", "$gone"]


async def test_no_more_events_are_kept_than_there_is_room_for() -> None:
    server = Server(threaded("$0"))
    threads = Threads(server)
    for number in range(MAX_EVENTS + 1):
        threads.learn({"event_id": f"${number}"})
    assert await threads.root("!a", "$1") == ""
    assert await threads.root("!a", "$0") == "$root"


def test_a_name_that_two_people_have_speaks_to_neither_and_ours_to_nobody() -> None:
    joined = {
        "@ali:a": {"display_name": "Ali"},
        "@ali:b": {"display_name": "Ali"},
        "@bea:a": {"display_name": "Bea\n"},
        "@us:gw.test": {"display_name": "Radio"},
        "@odd:a": {"display_name": 3},
        "nobody": {"display_name": "Nobody"},
    }
    assert unambiguous(joined, but="@us:gw.test") == {"Bea": "@bea:a"}


async def test_a_room_is_asked_once_in_a_while() -> None:
    server, clock = Server(*[{"joined": {"@a:b": {"display_name": name}}} for name in ("Old", "New")]), Clock()
    roster = Roster(server, clock)
    assert [await roster.names("!a"), await roster.names("!a")] == [{"Old": "@a:b"}] * 2
    clock.now_s = 600.0
    assert await roster.names("!a") == {"New": "@a:b"}


@pytest.mark.parametrize("answer", [REFUSED, RateLimited("later"), {"joined": 3}, {}])
async def test_a_room_that_does_not_tell_costs_nobody_their_words(answer: Any) -> None:
    assert await Roster(Server(answer), Clock()).names("!a") == {}


async def test_in_a_huge_room_nobody_is_spoken_to_and_few_rooms_are_kept() -> None:
    many = {f"@u{number}:a": {"display_name": f"n{number}"} for number in range(MAX_MEMBERS + 1)}
    server = Server({"joined": many}, *[{"joined": {}}] * (MAX_ROOMS + 1))
    roster = Roster(server, Clock())
    assert await roster.names("!huge") == {}
    for number in range(MAX_ROOMS):
        await roster.names(f"!{number}")
    await roster.names("!huge")
    assert len(server.asked) == MAX_ROOMS + 2
