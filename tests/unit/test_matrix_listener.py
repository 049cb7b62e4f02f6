# SPDX-License-Identifier: GPL-3.0-or-later
"""What the homeserver is answered, and how two sources become one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bridges.matrix.appservice import listener
from bridges.matrix.appservice.listener import AT_ONCE, create_app
from bridges.matrix.appservice.merge import merged
from bridges.matrix.appservice.transactions import (
    HANDED_OVER_S,
    MOST_WAITING,
    GhostRooms,
    Inbox,
    Transaction,
    invited,
    read_transaction,
    room_of,
)
from gateway.model import Address, LinkDown, Message, NativeId, RateLimited, Sender, SenderId, Text

TOKEN = "hs-token"
V1 = "/_matrix/app/v1"


class Door:
    def __init__(self) -> None:
        self.hs_token = TOKEN
        self.stores = True
        self.bodies: list[bytes | None] = []

    async def transaction(self, txn_id: str, body: bytes | None) -> bool:
        assert txn_id == "1"
        self.bodies.append(body)
        return self.stores

    async def has_user(self, user_id: str) -> bool:
        return user_id == "@mesh_a1b2c301:gw.test"


@pytest.fixture
def door() -> Door:
    return Door()


async def ask(door: Door, method: str, path: str, *, token: str | None = TOKEN, **more: Any) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}".encode()}
    routes = [Route("/crossband/file/{name}", lambda request: PlainTextResponse(request.path_params["name"]))]
    transport = httpx.ASGITransport(app=create_app(door, routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://gw.test") as client:
        return await client.request(method, path, headers=headers, **more)


async def test_a_transaction_is_answered_when_it_is_stored(door: Door):
    answer = await ask(door, "PUT", f"{V1}/transactions/1", content=b'{"events": []}')
    assert (answer.status_code, answer.json(), door.bodies) == (200, {}, [b'{"events": []}'])
    door.stores = False
    assert (await ask(door, "PUT", f"{V1}/transactions/1", content=b"{}")).status_code == 503


async def test_more_transactions_at_once_than_a_homeserver_sends_are_not_even_read(
    door: Door, monkeypatch: pytest.MonkeyPatch
):
    let_go = asyncio.Event()
    monkeypatch.setattr(door, "transaction", lambda *_: let_go.wait())
    transport = httpx.ASGITransport(app=create_app(door))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://gw.test", headers=headers) as client:
        first = [asyncio.create_task(client.put(f"{V1}/transactions/1", content=b"{}")) for _ in range(AT_ONCE)]
        await asyncio.sleep(0)
        while (answer := await client.put(f"{V1}/transactions/2", content=b"{}")).status_code != 503:
            pass
        assert answer.json()["error"] == "one after the other"
        let_go.set()
        assert [answer.status_code for answer in await asyncio.gather(*first)] == [200] * AT_ONCE
        assert (await client.put(f"{V1}/transactions/3", content=b"{}")).status_code == 200


async def test_a_transaction_that_is_too_large_is_read_to_its_end_and_not_kept(
    door: Door, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listener, "MAX_BODY_BYTES", 10)
    answer = await ask(door, "PUT", f"{V1}/transactions/1", content=b"x" * 11)
    assert (answer.status_code, door.bodies) == (200, [None])


@pytest.mark.parametrize("token", [None, "", "x", TOKEN + "x", TOKEN[:-1], "ü"])
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "transactions/1"), ("GET", "users/@x:y"), ("GET", "rooms/x"), ("POST", "ping")]
)
async def test_nobody_without_the_homeservers_token_is_let_in(door: Door, token: str | None, method: str, path: str):
    answer = await ask(door, method, f"{V1}/{path}", token=token)
    assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
    assert door.bodies == []


async def test_before_we_know_the_token_nobody_is_let_in(door: Door):
    door.hs_token = ""
    assert (await ask(door, "POST", f"{V1}/ping", token="")).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "status", "errcode"),
    [
        ("POST", f"{V1}/ping", 200, None),
        ("GET", f"{V1}/users/%40mesh_a1b2c301%3Agw.test", 200, None),
        ("GET", f"{V1}/users/%40mesh_a1b2c302%3Agw.test", 404, "M_NOT_FOUND"),
        ("GET", f"{V1}/rooms/%23town%3Agw.test", 404, "M_NOT_FOUND"),
        ("GET", f"{V1}/thirdparty/protocol/x", 404, "M_UNRECOGNIZED"),
        ("GET", "/transactions/1", 404, "M_UNRECOGNIZED"),
        ("GET", "/openapi.json", 404, "M_UNRECOGNIZED"),
        ("GET", "/", 404, "M_UNRECOGNIZED"),
        ("POST", f"{V1}/transactions/1", 405, "M_UNRECOGNIZED"),
    ],
)
async def test_what_is_served_and_what_is_not(door: Door, method: str, path: str, status: int, errcode: str | None):
    answer = await ask(door, method, path)
    assert (answer.status_code, answer.json().get("errcode")) == (status, errcode)


async def test_other_things_can_be_served_on_the_same_address(door: Door):
    assert (await ask(door, "GET", "/crossband/file/x", token=None)).text == "x"


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b'{"events": {}}', b"\xff", b"[" * 100_000])
def test_what_is_no_transaction_is_none(body: bytes):
    assert read_transaction(body) is None


def test_an_invitation_says_who_where_and_by_whom():
    event = {
        "type": "m.room.member",
        "room_id": "!r",
        "sender": "@ali:x",
        "state_key": "@mesh_1:x",
        "content": {"membership": "invite"},
    }
    assert read_transaction(json.dumps({"events": [event]}).encode()) == Transaction(events=[event])
    assert invited(event) == ("@mesh_1:x", "!r", "@ali:x")
    for wrong in ({"state_key": None}, {"sender": 3}, {"room_id": "x"}, {"content": []}, {"type": "m.room.name"}):
        assert invited(event | wrong) is None
    assert (room_of(event), room_of({"room_id": 1}), room_of(7)) == ("!r", "", "")


@pytest.mark.parametrize("name", ["ephemeral", "de.sorunome.msc2409.ephemeral"])
def test_what_passes_is_told_from_what_may_be_sent_again(name: str):
    types = {"type": "m.typing", "room_id": "!a:gw.test", "content": {"user_ids": []}}
    read = [read_transaction(json.dumps({"events": [], name: passing}).encode()) for passing in ([types], [], {})]
    assert [transaction and transaction.passes for transaction in read] == [True, False, False]


def test_transactions_count_where_only_ghosts_are_and_a_while_after_we_came():
    rooms = GhostRooms()

    def counts(is_synced: bool, now_s: float, *, is_routed: bool = False, room_id: str = "!r") -> bool:
        return rooms.counts(room_id, is_synced=is_synced, is_routed=is_routed, now_s=now_s)

    assert not counts(False, 0)  # another box's
    rooms.note("!r", 0)
    assert counts(False, 1)
    assert counts(True, HANDED_OVER_S)
    assert not counts(True, HANDED_OVER_S + 1)
    assert counts(False, 0, is_routed=True, room_id="!s")
    assert not counts(True, 0, is_routed=True, room_id="!t")


def said(body: str) -> Message:
    return Message(
        native_id=NativeId(f"mx:${body}"),
        origin=Address.parse("home/!r"),
        sender=Sender(id=SenderId("@ali:x"), name="Ali"),
        content=Text(body=body),
        received_ms=1,
    )


async def each(events: Any) -> AsyncGenerator[Message]:
    for event in events:
        if isinstance(event, Exception):
            raise event
        yield said(event)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_events_are_answered_when_the_next_message_is_asked_for():
    inbox = Inbox(each)
    assert not await inbox.take(["early"])
    inbox.open()
    taken = asyncio.create_task(inbox.take(["one", "two"]))
    async with aclosing(inbox.messages()) as messages:
        assert [await anext(messages), await anext(messages)] == [said("one"), said("two")]
        await turns()
        assert not taken.done()
        asked = asyncio.create_task(anext(messages))
        assert await taken
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)


async def test_what_can_not_be_taken_in_must_come_again():
    inbox = Inbox(each)
    inbox.open()
    waiting = [asyncio.create_task(inbox.take(["x"])) for _ in range(MOST_WAITING)]
    await turns()
    assert not await inbox.take(["one too many"])
    inbox.close()
    assert not any(await asyncio.gather(*waiting))
    assert not await inbox.take(["late"])


@pytest.mark.parametrize("error", [RateLimited("x"), LinkDown("x")])
async def test_events_that_fail_come_again_and_only_a_lost_link_ends_it(error: Exception):
    inbox = Inbox(each)
    inbox.open()
    failing, then = asyncio.create_task(inbox.take([error])), asyncio.create_task(inbox.take(["then"]))
    async with aclosing(inbox.messages()) as messages:
        if isinstance(error, LinkDown):
            with pytest.raises(LinkDown):
                await anext(messages)
            inbox.close()
        else:
            assert await anext(messages) == said("then")
        assert not await failing
    inbox.close()
    assert not await then


async def count(asked: list[str], *items: str, error: Exception | None = None) -> AsyncGenerator[str]:
    for item in items:
        yield item
        asked.append(item)
    if error is not None:
        raise error


async def test_a_source_is_asked_for_more_only_when_its_item_was_taken():
    asked: list[str] = []
    held = asyncio.Event()

    async def slow() -> AsyncGenerator[str]:
        await held.wait()
        yield "slow"

    async with aclosing(merged(count(asked, "a", "b"), slow())) as items:
        assert await anext(items) == "a"
        await turns()
        assert asked == []
        assert await anext(items) == "b"
        assert asked == ["a"]
        held.set()
        assert await anext(items) == "slow"
        with pytest.raises(StopAsyncIteration):
            await anext(items)


async def test_the_first_error_of_any_source_ends_all():
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[str]:
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            closed.set()

    items = merged(endless(), count([], error=LinkDown("gone")))
    with pytest.raises(LinkDown, match="gone"):
        await anext(items)
    assert closed.is_set()
