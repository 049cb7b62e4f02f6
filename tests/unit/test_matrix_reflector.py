# SPDX-License-Identifier: GPL-3.0-or-later
"""What the reflector does when the homeserver doesn't do as it is asked."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bridges.matrix.client import Client, Refused
from bridges.matrix.reflector import Reflector
from bridges.matrix.shown import REACTIONS, Notices, Shown
from bridges.matrix.threads import Threads
from gateway.clock import ManualClock
from gateway.model import (
    Address,
    AuthFailed,
    BridgeContext,
    BridgeError,
    BridgeName,
    Leg,
    LinkDown,
    MessageId,
    Progress,
    RateLimited,
    RemoteId,
    State,
    Unconfirmed,
)

TOWN = Address(BridgeName("home"), "#town:gw.test")
RADIO = Address(BridgeName("radio"), "LongFast")


class Server(Client):
    """Takes events; what it fails at, it may have taken first."""

    def __init__(self) -> None:
        super().__init__("http://gw.test", "@us:gw.test")
        self.done: list[tuple[str, str]] = []
        self.known: dict[str, str] = {}
        self.fails: list[BridgeError] = []
        self.contents: list[Mapping[str, Any]] = []

    async def get(self, *path: str, **_: Any) -> Mapping[str, Any]:
        relation = {"rel_type": "m.thread", "event_id": "$root"} if path[-1] == "$7" else {}
        return {"content": {"m.relates_to": relation}}

    async def put(self, *path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.fails and not isinstance(self.fails[-1], Unconfirmed):
            raise self.fails.pop()
        kind, what, key = path[2:]
        if key not in self.known:
            self.known[key] = f"$e{len(self.known)}"
            said = body.get("m.relates_to", {}).get("key") or body.get("body") or what
            self.done.append((kind, str(said)))
            self.contents.append(body)
        if self.fails:
            raise self.fails.pop()
        return {"event_id": self.known[key]}

    async def post(
        self, *path: str, body: Mapping[str, Any], query: Mapping[str, str | int] | None = None
    ) -> Mapping[str, Any]:
        if self.fails:
            raise self.fails.pop()
        self.done.append((path[2], path[-1]))
        return {}


class Place:
    async def ready(self, conversation: str) -> str:
        return "!r"


class Showing:
    def __init__(self, folder: Path, shown: Shown | None = None) -> None:
        self.server = Server()
        self.counts: list[str] = []
        self.clock = ManualClock()
        self._shown = shown or Shown(receipts=False, reactions=REACTIONS)
        self._folder = folder
        self.start()

    def start(self) -> None:
        context = BridgeContext(
            name=TOWN.bridge,
            table={},
            state_dir=self._folder,
            clock=self.clock,
            random=random.Random(1),
            count=self.counts.append,
        )
        threads = Threads(self.server)
        self.reflector = Reflector(self.server, context, Place(), self._shown, threads)  # type: ignore[arg-type]

    async def show(self, *states: State) -> None:
        await self.reflector.reflect([news(number, state) for number, state in enumerate(states)])


def news(number: int, state: State) -> Progress:
    return Progress(
        message_id=MessageId(f"m{number}"),
        at=TOWN,
        remote_id=RemoteId(f"${number}"),
        seq=number,
        received_ms=0,
        kind="text",
        legs=(Leg(to=RADIO, state=state, reason="why"),),
    )


@pytest.mark.parametrize("error", [LinkDown("gone"), RateLimited("slow"), Unconfirmed("silence")])
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_mark_that_was_not_answered_is_put_once_and_taken_away(
    tmp_path: Path, error: BridgeError, restarts: bool
) -> None:
    showing = Showing(tmp_path)
    showing.server.fails = [error]
    with pytest.raises(type(error)):
        await showing.show(State.QUEUED)
    if restarts:
        showing.start()
    await showing.show(State.QUEUED)
    assert showing.server.done == [("send", "⏳")]
    await showing.show(State.SENT)
    assert showing.server.done == [("send", "⏳"), ("redact", "$e0"), ("send", "✅")]


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_mark_that_may_be_there_is_taken_away_though_all_is_well_meanwhile(
    tmp_path: Path, restarts: bool
) -> None:
    showing = Showing(tmp_path)
    showing.server.fails = [Unconfirmed("silence")]
    with pytest.raises(Unconfirmed):
        await showing.show(State.QUEUED)
    if restarts:
        showing.start()
    await showing.show(State.SENT)
    assert showing.server.done == [("send", "⏳"), ("redact", "$e0"), ("send", "✅")]


@pytest.mark.parametrize("error", [LinkDown("gone"), RateLimited("slow"), Unconfirmed("silence")])
async def test_a_notice_that_was_not_answered_is_said_once_though_more_fails(
    tmp_path: Path, error: BridgeError
) -> None:
    showing = Showing(tmp_path, Shown(receipts=False))
    showing.server.fails = [error]
    with pytest.raises(type(error)):
        await showing.show(State.FAILED)
    await showing.show(State.FAILED, State.FAILED)
    assert [kind for kind, _ in showing.server.done] == ["send", "send"]
    await showing.show(State.FAILED, State.FAILED)
    assert len(showing.server.done) == 2


async def test_what_is_refused_is_counted_and_not_tried_again(tmp_path: Path) -> None:
    showing = Showing(tmp_path)
    refused = Refused("no", status=403, errcode="M_FORBIDDEN")
    showing.server.fails = [refused, refused]
    await showing.show(State.FAILED)
    await showing.show(State.FAILED)
    assert showing.server.done == []
    assert showing.counts == ["matrix_progress_refused"] * 2


async def test_an_emoji_of_ours_that_is_there_already_is_no_refusal(tmp_path: Path) -> None:
    showing = Showing(tmp_path, Shown(receipts=False, reactions=REACTIONS))
    showing.server.fails = [Refused("again", status=400, errcode="M_DUPLICATE_ANNOTATION")]
    await showing.show(State.QUEUED)
    await showing.show(State.QUEUED)
    assert (showing.server.done, showing.counts) == ([], [])


async def test_a_login_taken_back_is_a_lost_link_here(tmp_path: Path) -> None:
    showing = Showing(tmp_path, Shown())
    showing.server.fails = [AuthFailed("gone")]
    with pytest.raises(LinkDown):
        await showing.show(State.SENT)


async def test_receipts_go_forward_and_one_that_is_refused_stops_nothing(tmp_path: Path) -> None:
    showing = Showing(tmp_path, Shown())
    showing.server.fails = [Refused("no", status=404, errcode="M_NOT_FOUND")]
    await showing.show(State.SENT)
    await showing.show(State.SENT, State.SENT, State.QUEUED)
    await showing.show(State.SENT, State.SENT)
    assert showing.server.done == [("receipt", "$1")]


async def test_a_notice_about_what_is_in_a_thread_is_in_it_too(tmp_path: Path) -> None:
    showing = Showing(tmp_path)
    await showing.reflector.reflect([news(7, State.FAILED)])
    notice = showing.server.contents[0]
    assert notice["m.relates_to"]["event_id"] == "$root"
    assert notice["m.relates_to"]["m.in_reply_to"] == {"event_id": "$7"}


@pytest.mark.parametrize("restarts", [False, True])
async def test_beepers_clients_are_told_each_stage_once_where_that_is_wanted(tmp_path: Path, restarts: bool) -> None:
    showing = Showing(tmp_path, Shown(receipts=False, notices=Notices.OFF, waiting_after_s=1, beeper=True))
    showing.clock.advance(2)
    for state in (State.QUEUED, State.QUEUED, State.SENT, State.SENT, State.HEARD):
        if restarts:
            showing.start()
        await showing.show(state)
    assert [content["status"] for content in showing.server.contents] == ["PENDING", "SUCCESS"]
    assert showing.server.contents[0]["message"] == "why"


async def test_beepers_clients_are_told_nothing_by_default(tmp_path: Path) -> None:
    showing = Showing(tmp_path, Shown(receipts=False, notices=Notices.OFF))
    await showing.show(State.SENT, State.FAILED)
    assert showing.server.contents == []


async def test_what_was_pending_and_what_failed_is_told_however_slowly(tmp_path: Path) -> None:
    showing = Showing(tmp_path, Shown(receipts=False, notices=Notices.OFF, waiting_after_s=1, beeper=True))
    showing.clock.advance(2)
    await showing.show(*[State.QUEUED] * 10)
    with pytest.raises(RateLimited):
        await showing.show(*[State.SENT] * 10)
    showing.clock.advance(100)
    await showing.show(*[State.SENT] * 10)
    assert [content["status"] for content in showing.server.contents].count("SUCCESS") == 10
    await showing.show(*[State.SENT] * 30)
    assert "matrix_progress_skipped" in showing.counts, "that all went well needn't be told"
