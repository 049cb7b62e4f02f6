# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP API over a real journal: what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.api import create_app
from gateway.api.routes_events import stream
from gateway.breaker import BreakerState, Look
from gateway.journal import OutageKind
from gateway.model import BridgeName, JournalError, Level, Location, Node, SenderId, StoreUnavailable
from gateway.outbox.memory import MemoryOutbox
from gateway.status import Event, EventHub, JournalStatus, QueueStatus, StoreState
from tests.contract.desk import NODE, START_MS, Desk, in_chat, open_desk, serving

BASE = "http://localhost"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


@pytest.fixture
async def api(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(desk, local=False), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        yield client


async def _say(api: httpx.AsyncClient, text: str, to: str = "radio/LongFast", **more: Any) -> dict[str, Any]:
    answer = await api.post("/api/v1/messages", json={"text": text, "to": to} | more)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_alive_and_ready(api: httpx.AsyncClient, desk: Desk) -> None:
    assert (await api.get("/livez")).text == "ok\n"
    ready = await api.get("/readyz")

    assert ready.status_code == 200
    assert ready.text == "[+]journal ok\n[+]queue ok\n[+]bridge home ok\n[-]bridge radio the cable is out\nready\n"


async def test_not_ready_only_when_messages_cannot_be_stored(api: httpx.AsyncClient, desk: Desk) -> None:
    desk.queue_status = QueueStatus(state=StoreState.DOWN, reason="connection refused")
    without_queue = await api.get("/readyz")
    desk.journal_status = JournalStatus(state=StoreState.DOWN, reason="disk full")
    without_journal = await api.get("/readyz")

    assert without_queue.status_code == 200
    assert without_journal.status_code == 503
    assert "[-]journal disk full" in without_journal.text


async def test_without_the_token_readiness_names_no_reasons(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-that-is-long-enough")
    async with open_desk(tmp_path, '[api]\nlisten = "0.0.0.0:0"\ntoken_file = "token"\n') as desk:
        desk.journal_status = JournalStatus(state=StoreState.DOWN, reason="/var/lib/x is full")
        transport = httpx.ASGITransport(app=create_app(desk, local=False))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            stranger = await client.get("/readyz")
            known = await client.get("/readyz", headers={"authorization": "Bearer a-token-that-is-long-enough"})
        transport = httpx.ASGITransport(app=create_app(desk, local=True))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            private = await client.get("/readyz")

    names = "[-]journal not ok\n[+]queue ok\n[+]bridge home ok\n[-]bridge radio not ok\nnot ready\n"
    assert (stranger.status_code, stranger.text) == (503, names)
    assert "/var/lib/x is full" in known.text
    assert private.text == known.text


async def test_status_says_everything_at_a_glance(api: httpx.AsyncClient, desk: Desk) -> None:
    await _say(api, "hello")
    desk.clock.advance(60)

    status = (await api.get("/api/v1/status")).json()

    assert status["name"] == "hilltop"
    assert status["ready"] is True
    assert status["now_ms"] - status["started_ms"] == 60_000
    assert status["queue"] == {"state": "up", "reason": "", "engine": "memory"}
    assert [(one["name"], one["state"], one["reason"]) for one in status["bridges"]] == [
        ("home", "up", ""),
        ("radio", "down", "the cable is out"),
    ]
    assert status["deliveries"] == {"radio": {"waiting": 1}}


async def test_bridges_routes_and_nodes_are_listed(api: httpx.AsyncClient, desk: Desk) -> None:
    desk.known.append((BridgeName("radio"), NODE))

    bridges, routes, nodes = [(await api.get(f"/api/v1/{what}")).json() for what in ("bridges", "routes", "nodes")]

    assert bridges[1]["counters"] == {"frame_oversized": 3}
    assert routes[0] == {
        "name": "town",
        "sources": ["home/#town", "radio/LongFast"],
        "targets": ["home/#town", "radio/LongFast"],
        "expires_s": {"radio": 21600},
        "digest_after_s": {"radio": 600},
        "also": ["positions", "waypoints", "alerts"],
        "direct": False,
        "by": None,
        "at_ms": None,
    }
    (node,) = nodes["nodes"]
    assert (node["id"], node["name"], node["snr_db"]) == ("!a1b2c301", "Kim", -3.5)
    assert (nodes["found"], nodes["next_after"]) == (1, None)
    assert [(by["bridge"], by["hops"]) for by in node["heard_by"]] == [("radio", 1)]


async def test_where_nodes_are_is_exact_only_where_that_is_asked_for(api: httpx.AsyncClient, desk: Desk) -> None:
    place = Location(latitude=47.07123, longitude=8.33456, altitude_m=1104)
    desk.known.append((BridgeName("radio"), replace(NODE, place=place, placed_ms=START_MS)))

    about, exactly = [(await api.get("/api/v1/nodes", params=asked)).json() for asked in ({}, {"exact": "true"})]

    assert about["nodes"][0]["place"] == {
        "latitude": 47.07,
        "longitude": 8.3394,
        "altitude_m": None,
        "accuracy_m": 1000,
        "told_ms": START_MS,
    }
    assert (exactly["nodes"][0]["place"]["latitude"], exactly["nodes"][0]["place"]["altitude_m"]) == (47.07123, 1104)


async def test_the_directory_comes_in_pages_each_node_once_also_when_it_is_heard_meanwhile(
    api: httpx.AsyncClient, desk: Desk
) -> None:
    desk.known += [
        (BridgeName("radio"), Node(id=SenderId(f"!{n:08x}"), name=f"n{n}", last_heard_ms=START_MS - n))
        for n in range(7)
    ]
    seen, after = [], None
    while True:
        asked = {"limit": 3} | ({} if after is None else {"after": after})
        page = (await api.get("/api/v1/nodes", params=asked)).json()
        seen += [one["name"] for one in page["nodes"]]
        if (after := page["next_after"]) is None:
            break
        desk.known[6] = (BridgeName("radio"), replace(desk.known[6][1], last_heard_ms=START_MS - 3 - len(seen)))

    assert (seen, page["found"]) == ([f"n{n}" for n in range(7)], 7)
    gone = await api.get("/api/v1/nodes", params={"after": "!ffffffff"})
    assert (gone.status_code, "begin again" in gone.json()["detail"]) == (422, True)
    assert (await api.get("/api/v1/nodes", params={"limit": 501})).status_code == 422


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"search": "OLD"}, ["Kim"]),
        ({"bridge": "home"}, ["Lee"]),
        ({"heard_within_s": 60}, ["Kim"]),
        ({"sort": "name"}, ["Kim", "Lee", "Zoe"]),
        ({"sort": "battery"}, ["Lee", "Kim", "Zoe"]),
    ],
)
async def test_the_directory_is_searched_narrowed_and_put_in_order(
    api: httpx.AsyncClient, desk: Desk, asked: dict[str, str], names: list[str]
) -> None:
    kim = replace(NODE, former_names=("Old hut",))
    lee = Node(id=SenderId("!2"), name="Lee", last_heard_ms=START_MS - 60_001, battery_percent=3)
    desk.known += [(BridgeName("radio"), kim), (BridgeName("home"), lee)]
    desk.known.append((BridgeName("radio"), Node(id=SenderId("!3"), name="Zoe")))

    found = (await api.get("/api/v1/nodes", params=asked)).json()

    assert [one["name"] for one in found["nodes"]] == names
    assert (await api.get("/api/v1/nodes", params={"bridge": "cellar"})).status_code == 422


async def test_a_route_made_in_a_chat_is_listed_beside_the_files_and_can_be_tested_and_sent_to(
    api: httpx.AsyncClient, desk: Desk
) -> None:
    desk.made.append(in_chat("chat-1f"))

    *_, made = (await api.get("/api/v1/routes")).json()
    tried = await api.post("/api/v1/routes/chat-1f/test", json={"text": "hello"})
    sent = await api.post("/api/v1/messages", json={"text": "hello", "route": "chat-1f"})
    page = (await api.get("/")).text

    assert (made["name"], made["direct"], made["by"], made["at_ms"]) == ("chat-1f", True, "@<b>:x", START_MS - 60_000)
    assert [one["to"] for one in tried.json()] == ["home/!ali", "radio/!a1b2c301"]
    assert sent.status_code == 202
    assert "<td>@&lt;b&gt;:x</td><td>1 min ago</td>" in page


async def test_who_may_what_is_told_with_whose_word_it_is(api: httpx.AsyncClient, desk: Desk) -> None:
    ali = SenderId("@ali:x")
    await desk.rulings.allow("*", Level.READ, by=ali)
    await desk.rulings.mute(SenderId("!a1b2c301"), for_s=3600, by=ali)
    desk.clock.advance(60)

    permissions, mutes = [(await api.get(f"/api/v1/{what}")).json() for what in ("permissions", "mutes")]

    file = {"pattern": "*", "level": "transmit", "source": "file", "by": None, "at_ms": None, "overruled": True}
    chat = {"pattern": "*", "level": "read", "source": "chat", "by": ali, "at_ms": START_MS, "overruled": False}
    assert permissions == [file, chat]
    assert mutes == [
        {"sender": "!a1b2c301", "by": ali, "at_ms": START_MS, "for_s": 3600, "left_s": 3540.0}
        | {"ban": False, "box": ""}
    ]
    status = (await api.get("/api/v1/status")).json()
    assert (status["chat_permissions"], status["muted"]) == (1, 1)


async def test_a_posted_message_is_journalled_and_can_be_followed(api: httpx.AsyncClient, desk: Desk) -> None:
    posted = await _say(api, "hello", name="Operator")
    await desk.fail(posted["deliveries"][0], reason="nobody there")

    found = (await api.get(f"/api/v1/messages/{posted['id']}")).json()

    assert (found["origin"], found["sender"], found["text"]) == ("api/local", "Operator", "hello")
    (delivery,) = found["deliveries"]
    assert (delivery["to"], delivery["state"], delivery["reason"]) == ("radio/LongFast", "failed", "nobody there")
    assert [one["state"] for one in delivery["history"]] == ["waiting", "failed"]


async def test_along_a_route_a_message_goes_to_all_of_it(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/messages", json={"text": "hello", "route": "town"})

    assert answer.status_code == 202
    assert len(answer.json()["deliveries"]) == 2


async def test_the_same_idempotency_key_sends_once(api: httpx.AsyncClient) -> None:
    body, key = {"text": "hello", "to": "radio/LongFast"}, {"Idempotency-Key": "k-1"}
    first = (await api.post("/api/v1/messages", json=body, headers=key)).json()
    again = (await api.post("/api/v1/messages", json=body, headers=key)).json()
    other = await api.post("/api/v1/messages", json=body | {"text": "other"}, headers=key)

    assert again == first | {"seen": True}
    assert other.status_code == 409
    assert other.json()["detail"] == "this Idempotency-Key was used with another text; nothing was sent now"
    assert len((await api.get("/api/v1/messages")).json()["messages"]) == 1


async def test_the_same_idempotency_key_for_something_else_is_refused_and_says_what_differs(
    api: httpx.AsyncClient,
) -> None:
    body, key = {"text": "hello", "to": "radio/LongFast"}, {"Idempotency-Key": "k-1"}
    first = (await api.post("/api/v1/messages", json=body, headers=key)).json()
    others = {
        "address": body | {"to": "home/#town"},
        "reply_to": body | {"reply_to": first["id"]},
        "name": body | {"name": "Kim"},
        "text and address": {"text": "other", "route": "town"},
    }

    for what, other in others.items():
        answer = await api.post("/api/v1/messages", json=other, headers=key)
        assert answer.status_code == 409
        assert f"another {what};" in answer.json()["detail"]
    assert len((await api.get("/api/v1/messages")).json()["messages"]) == 1


async def test_the_same_idempotency_key_along_the_same_route_is_the_same(api: httpx.AsyncClient) -> None:
    body, key = {"text": "hello", "route": "warnings", "name": "Kim"}, {"Idempotency-Key": "k-1"}
    first = (await api.post("/api/v1/messages", json=body, headers=key)).json()

    assert (await api.post("/api/v1/messages", json=body, headers=key)).json() == first | {"seen": True}
    assert (await api.post("/api/v1/messages", json=body | {"route": "town"}, headers=key)).status_code == 409


async def test_a_reply_names_one_of_our_messages(api: httpx.AsyncClient, desk: Desk) -> None:
    first = await _say(api, "hello")
    reply = await _say(api, "and you", reply_to=first["id"])
    kept = await desk.journal.message(reply["id"])
    unknown = await api.post("/api/v1/messages", json={"text": "x", "to": "radio/LongFast", "reply_to": "a" * 26})

    assert kept is not None
    assert kept.message.reply_to == first["id"]
    assert unknown.status_code == 422


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"to": "radio/LongFast"}, "text"),
        ({"text": "", "to": "radio/LongFast"}, "text"),
        ({"text": "  \n", "to": "radio/LongFast"}, "no words"),
        ({"text": "x" * 16_001, "to": "radio/LongFast"}, "text"),
        ({"text": 5, "to": "radio/LongFast"}, "text"),
        ({"text": "x"}, "name either"),
        ({"text": "x", "to": "radio/LongFast", "route": "town"}, "name either"),
        ({"text": "x", "to": "nowhere"}, "is not an address"),
        ({"text": "x", "to": "sea/ship"}, "no bridge called 'sea'"),
        ({"text": "x", "route": "sea"}, "no route called 'sea'"),
        ({"text": "x", "to": "radio/LongFast", "colour": 1}, "colour"),
        ([], "body"),
        ("x", "body"),
    ],
)
async def test_what_cannot_be_sent_is_refused_with_a_reason(api: httpx.AsyncClient, body: object, words: str) -> None:
    answer = await api.post("/api/v1/messages", json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'{"text": "\\ud800", "to": "radio/LongFast"}', b"[" * 60_000]
)
async def test_a_body_that_is_no_json_is_refused(api: httpx.AsyncClient, content: bytes) -> None:
    answer = await api.post("/api/v1/messages", content=content, headers={"content-type": "application/json"})

    assert 400 <= answer.status_code < 500
    assert answer.json()["detail"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "ü".encode()])
async def test_an_odd_idempotency_key_is_refused(api: httpx.AsyncClient, key: str | bytes) -> None:
    body = {"text": "x", "to": "radio/LongFast"}
    answer = await api.post("/api/v1/messages", json=body, headers={"Idempotency-Key": key})

    assert answer.status_code == 422


async def test_messages_come_in_pages_and_by_address(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await _say(api, f"n{number}", "home/#town" if number % 2 else "radio/LongFast")

    first = (await api.get("/api/v1/messages", params={"after": 0, "limit": 2})).json()
    rest = (await api.get("/api/v1/messages", params={"after": first["next_after"], "limit": 50})).json()
    newest = (await api.get("/api/v1/messages", params={"limit": 1})).json()
    home = (await api.get("/api/v1/messages", params={"address": "home/#town"})).json()

    assert [one["text"] for one in first["messages"] + rest["messages"]] == ["n0", "n1", "n2", "n3", "n4"]
    assert [one["text"] for one in newest["messages"]] == ["n4"]
    assert [one["text"] for one in home["messages"]] == ["n1", "n3"]


async def test_messages_are_found_by_state_and_age_and_paged_backward(api: httpx.AsyncClient, desk: Desk) -> None:
    for number in range(3):
        (ident,) = (await _say(api, f"n{number}"))["deliveries"]
        if number != 1:
            await desk.fail(ident)
        desk.clock.advance(60)

    async def texts(**query: Any) -> tuple[list[str], int | None]:
        page = (await api.get("/api/v1/messages", params=query)).json()
        return [one["text"] for one in page["messages"]], page["next_before"]

    assert await texts(state="failed") == (["n0", "n2"], None)
    assert await texts(state="failed", limit=1) == (["n2"], 3)
    assert await texts(state="failed", limit=1, before=3) == (["n0"], 1)
    assert await texts(older_than_s=100) == (["n0", "n1"], None)
    assert await texts(newer_than_s=130) == (["n1", "n2"], None)


async def test_one_delivery_is_shown_with_its_message(api: httpx.AsyncClient) -> None:
    posted = (await api.post("/api/v1/messages", json={"text": "hello", "route": "town"})).json()

    found = (await api.get(f"/api/v1/deliveries/{posted['deliveries'][1]}")).json()

    assert (found["id"], [one["id"] for one in found["deliveries"]]) == (posted["id"], posted["deliveries"][1:])
    assert (await api.get("/api/v1/deliveries/nothing")).status_code == 404


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=501", "address=x", "address=sea/x", "state=odd"]
)
async def test_odd_pages_are_refused(api: httpx.AsyncClient, query: str) -> None:
    assert (await api.get(f"/api/v1/messages?{query}")).status_code == 422


@pytest.mark.parametrize("query", ["before=0", "limit=501", "destination=sea", f"reason={'x' * 201}"])
async def test_odd_pages_of_dead_letters_are_refused(api: httpx.AsyncClient, query: str) -> None:
    assert (await api.get(f"/api/v1/dead-letters?{query}")).status_code == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/messages/nothing"),
        ("POST", "/api/v1/dead-letters/nothing/redrive"),
        ("DELETE", "/api/v1/dead-letters/nothing"),
        ("POST", "/api/v1/deliveries/nothing/cancel"),
        ("POST", "/api/v1/routes/nothing/test"),
        ("GET", "/nothing"),
        ("GET", "/assets/../app.py"),
    ],
)
async def test_what_is_not_there_is_a_404_with_a_reason(api: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await api.request(method, path, json={"text": "x"} if method == "POST" else None)

    assert answer.status_code == 404
    assert answer.json()["detail"]


async def test_the_queue_is_shown_by_age(api: httpx.AsyncClient, desk: Desk) -> None:
    await _say(api, "old")
    desk.clock.advance(7200)
    await _say(api, "new")

    queue = (await api.get("/api/v1/queue")).json()
    listed = (await api.get("/api/v1/queue/deliveries", params={"destination": "radio"})).json()

    home, radio = queue["destinations"]
    assert (home["waiting"], home["oldest_age_s"]) == (0, None)
    assert (radio["waiting"], radio["oldest_age_s"], radio["dead"], radio["younger"]) == (2, 7200, 0, 0)
    assert {name: count for name, count in radio["ages"].items() if count} == {"<1m": 1, "<160m": 1}
    assert [(one["text"], one["state"]) for one in listed["deliveries"]] == [("old", "waiting"), ("new", "waiting")]
    assert listed["next_after"] is None


async def test_waiting_deliveries_come_in_pages(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await _say(api, f"n{number}")
    seen, after = [], 0
    while after is not None:
        params = {"destination": "radio", "limit": 2, "after": after}
        page = (await api.get("/api/v1/queue/deliveries", params=params)).json()
        seen += [one["text"] for one in page["deliveries"]]
        after = page["next_after"]

    assert seen == ["n0", "n1", "n2", "n3", "n4"]


async def test_a_waiting_delivery_can_be_cancelled_once(api: httpx.AsyncClient) -> None:
    (ident,) = (await _say(api, "x"))["deliveries"]

    first = await api.post(f"/api/v1/deliveries/{ident}/cancel", json={})
    again = await api.post(f"/api/v1/deliveries/{ident}/cancel", json={})

    assert (first.status_code, first.json()) == (200, {"ids": [ident]})
    assert again.status_code == 404


async def test_dead_letters_are_listed_redriven_and_dropped(api: httpx.AsyncClient, desk: Desk) -> None:
    one, two = [(await _say(api, text))["deliveries"][0] for text in ("one", "two")]
    await desk.fail(one, two, reason="too big")

    listed = (await api.get("/api/v1/dead-letters")).json()["dead_letters"]
    whole = (await api.get(f"/api/v1/dead-letters/{one}")).json()
    redriven = await api.post(f"/api/v1/dead-letters/{one}/redrive", json={})
    dropped = await api.delete(f"/api/v1/dead-letters/{two}")

    assert [(row["id"], row["text"], row["reason"], row["to"]) for row in listed] == [
        (two, "two", "too big", "radio/LongFast"),
        (one, "one", "too big", "radio/LongFast"),
    ]
    assert listed[0]["failed_ms"] == START_MS
    assert [change["state"] for change in whole["history"]] == ["waiting", "failed"]
    assert (redriven.json(), dropped.json()) == ({"ids": [one]}, {"ids": [two]})
    assert (await api.get("/api/v1/dead-letters")).json()["dead_letters"] == []
    assert (await api.get(f"/api/v1/dead-letters/{one}")).status_code == 404


async def test_dead_letters_come_in_pages_by_destination_and_by_reason(api: httpx.AsyncClient, desk: Desk) -> None:
    for number in range(5):
        (ident,) = (await _say(api, f"n{number}", "home/#town" if number % 2 else "radio/LongFast"))["deliveries"]
        await desk.fail(ident, reason="Too big" if number < 3 else "nobody there")

    async def texts(**query: Any) -> tuple[list[str], int | None]:
        page = (await api.get("/api/v1/dead-letters", params=query)).json()
        return [one["text"] for one in page["dead_letters"]], page["next_before"]

    first, following = await texts(limit=2)
    assert (first, await texts(limit=3, before=following)) == (["n4", "n3"], (["n2", "n1", "n0"], None))
    assert await texts(destination="home") == (["n3", "n1"], None)
    assert await texts(reason="too BIG") == (["n2", "n1", "n0"], None)
    assert await texts(reason="too big", destination="home") == (["n1"], None)
    assert (await api.get("/api/v1/dead-letters", params={"destination": "sea"})).status_code == 422


async def test_what_a_redrive_costs_on_the_air_is_told_and_nothing_is_sent(api: httpx.AsyncClient, desk: Desk) -> None:
    for to in ("radio/LongFast", "radio/LongFast", "home/#town"):
        await desk.fail(*(await _say(api, "x", to))["deliveries"])

    price = (await api.post("/api/v1/dead-letters/price", json={})).json()
    radio = (await api.post("/api/v1/dead-letters/price", json={"destination": "radio", "reason": "no such"})).json()

    assert (price["total"], price["complete"]) == (3, True)
    assert [(one["destination"], one["deliveries"], one["airtime_s"]) for one in price["destinations"]] == [
        ("radio", 2, 2.0),
        ("home", 1, None),
    ]
    assert price["destinations"][0]["basis"] == "LongFast"
    assert radio == {"total": 0, "complete": True, "destinations": []}
    assert len(await desk.journal.failed(limit=9)) == 3


async def test_many_are_redriven_at_a_pace_and_their_progress_is_told(api: httpx.AsyncClient, desk: Desk) -> None:
    for number in range(3):
        await desk.fail(*(await _say(api, f"n{number}"))["deliveries"])
    before = (await api.get("/api/v1/dead-letters/redrive")).json()

    begun = await api.post("/api/v1/dead-letters/redrive", json={"destination": "radio", "per_minute": 6})
    twice = await api.post("/api/v1/dead-letters/redrive", json={})
    while (halfway := (await api.get("/api/v1/dead-letters/redrive")).json())["sent"] < 1:
        await asyncio.sleep(0.01)
    stopped = (await api.request("DELETE", "/api/v1/dead-letters/redrive")).json()
    again = await api.request("DELETE", "/api/v1/dead-letters/redrive")

    assert before is None
    assert (begun.status_code, begun.json()["total"], twice.status_code) == (202, 3, 409)
    assert (halfway["running"], halfway["sent"]) == (True, 1)
    assert (stopped["running"], stopped["sent"], stopped["held"]) == (False, 1, "stopped by hand")
    assert again.status_code == 404
    assert len(await desk.journal.failed(limit=9)) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"ids": ["nothing"]}, 404),
        ({"reason": "no such"}, 404),
        ({"destination": "sea"}, 422),
        ({"per_minute": 0}, 422),
        ({"per_minute": 6001}, 422),
        ({"colour": 1}, 422),
    ],
)
async def test_what_cannot_be_redriven_is_refused(api: httpx.AsyncClient, body: dict[str, Any], status: int) -> None:
    answer = await api.post("/api/v1/dead-letters/redrive", json=body)

    assert answer.status_code == status
    assert answer.json()["detail"]


async def test_outages_are_listed_with_what_became_of_what_waited(api: httpx.AsyncClient, desk: Desk) -> None:
    one = await desk.journal.outages.begin(OutageKind.BRIDGE, "radio", desk.clock.now_ms(), "the cable is out")
    await _say(api, "x")
    desk.clock.advance(90)
    await desk.journal.outages.end(one.no, desk.clock.now_ms())
    await desk.journal.outages.begin(OutageKind.QUEUE, "", desk.clock.now_ms(), "refused")

    every = (await api.get("/api/v1/outages")).json()
    bridge = (await api.get("/api/v1/outages", params={"kind": "bridge", "name": "radio"})).json()["outages"]
    first = (await api.get("/api/v1/outages", params={"limit": 1})).json()
    rest = (await api.get("/api/v1/outages", params={"before": first["next_before"]})).json()
    text = (await api.get("/metrics")).text
    page = (await api.get("/")).text

    assert [row["kind"] for row in every["outages"]] == ["queue", "bridge"]
    assert every["next_before"] is None
    assert bridge == rest["outages"] == every["outages"][1:]
    assert {key: bridge[0][key] for key in ("reason", "lasted_s", "buffered", "late", "waiting")} == {
        "reason": "the cable is out",
        "lasted_s": 90,
        "buffered": 1,
        "late": 0,
        "waiting": 1,
    }
    for line in (
        'crossband_outage_open{kind="queue",name=""} 1.0',
        'crossband_outage_seconds{kind="bridge",name="radio"} 90.0',
        'crossband_outage_deliveries{became="waiting",kind="bridge",name="radio"} 1.0',
    ):
        assert line in text.splitlines()
    assert "Outages" in page
    assert (await api.get("/api/v1/outages", params={"kind": "sea"})).status_code == 422


async def test_retry_is_for_all_one_or_some(api: httpx.AsyncClient, desk: Desk) -> None:
    everything = await api.post("/api/v1/queue/retry", json={})
    one = await api.post("/api/v1/queue/retry", json={"destination": "radio"})
    some = await api.post("/api/v1/queue/retry", json={"ids": ["abc"]})
    unknown = await api.post("/api/v1/queue/retry", json={"destination": "sea"})

    assert everything.json() == {"destinations": ["home", "radio"]}
    assert one.json() == {"destinations": ["radio"]}
    assert some.status_code == 200
    assert unknown.status_code == 422
    assert desk.retried == [(None, ()), ("radio", ()), (None, ("abc",))]


async def test_a_route_is_tried_without_sending(api: httpx.AsyncClient) -> None:
    parts = (await api.post("/api/v1/routes/warnings/test", json={"text": "grüße"})).json()

    assert parts == [{"to": "radio/LongFast", "part": 1, "parts": 1, "body": "grüße", "size_bytes": 7, "note": ""}]
    assert (await api.get("/api/v1/messages")).json() == {
        "messages": [],
        "next_after": None,
        "next_before": None,
    }


async def test_a_full_disk_is_a_503_with_the_reason(api: httpx.AsyncClient, desk: Desk) -> None:
    desk.journal_status = JournalStatus(state=StoreState.DOWN, reason="disk full")

    answer = await api.post("/api/v1/messages", json={"text": "x", "to": "radio/LongFast"})

    assert answer.status_code == 503
    assert answer.json()["detail"] == "disk full"
    assert answer.headers["retry-after"] == "5"


class _Away(MemoryOutbox):
    async def depth(self, *_: Any, **__: Any) -> Any:
        raise StoreUnavailable("connection refused")


async def test_the_queue_is_shown_while_its_server_is_away(api: httpx.AsyncClient, desk: Desk) -> None:
    desk.outbox = _Away()
    await _say(api, "x")

    queue = (await api.get("/api/v1/queue")).json()

    assert queue["lanes"] == []
    assert queue["destinations"][1]["waiting"] == 1
    assert queue["total"]["waiting"] == 1


async def test_the_queue_has_a_row_for_all_and_on_demand_one_for_each_conversation(
    api: httpx.AsyncClient, desk: Desk
) -> None:
    for to in ("radio/LongFast", "radio/LongFast", "radio/!a1b2c301", "home/#town"):
        await _say(api, "x", to)
    desk.clock.advance(301)

    plain = (await api.get("/api/v1/queue")).json()
    deep = (await api.get("/api/v1/queue", params={"by": "conversation"})).json()

    assert plain["conversations"] == []
    assert (deep["total"]["waiting"], deep["total"]["ages"]["<10m"]) == (4, 4)
    assert [(one["destination"], one["conversation"], one["waiting"]) for one in deep["conversations"]] == [
        ("home", "#town", 1),
        ("radio", "LongFast", 2),
        ("radio", "!a1b2c301", 1),
    ]
    assert (await api.get("/api/v1/queue", params={"by": "colour"})).status_code == 422


async def test_a_mistake_of_ours_is_a_500_without_its_innards(api: httpx.AsyncClient, desk: Desk) -> None:
    desk.nodes = lambda: 1 / 0  # type: ignore[assignment, return-value]

    answer = await api.get("/api/v1/nodes")

    assert answer.status_code == 500
    assert "division" not in answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_metrics_are_prometheus_text_with_few_labels(api: httpx.AsyncClient, desk: Desk) -> None:
    await _say(api, "x")
    desk.metrics.received(BridgeName("home"))
    desk.metrics.sent(BridgeName("radio"), 1.5)
    desk.clock.advance(90)

    text = (await api.get("/metrics")).text

    for line in (
        'crossband_messages_received_total{bridge="home"} 1.0',
        'crossband_bridge_up{bridge="radio"} 0.0',
        'crossband_bridge_noticed_total{bridge="radio",kind="frame_oversized"} 3.0',
        'crossband_queue_depth{destination="radio"} 1.0',
        'crossband_queue_oldest_age_seconds{destination="radio"} 90.0',
        'crossband_deliveries{bridge="radio",state="waiting"} 1.0',
        "crossband_journal_up 1.0",
        'crossband_message_delivery_seconds_count{bridge="radio"} 1.0',
    ):
        assert line in text.splitlines()
    assert re.findall(r"^(?!#|crossband_|process_)\S+", text, re.MULTILINE) == []


async def test_kinds_of_noticed_things_are_bounded(api: httpx.AsyncClient, desk: Desk) -> None:
    status = replace(desk.bridges()[1], counters={f"k{number}": 1 for number in range(100)})
    desk.bridges = lambda: [status]  # type: ignore[method-assign]

    text = (await api.get("/metrics")).text

    assert text.count("crossband_bridge_noticed_total{") == 65
    assert 'kind="other"} 36.0' in text


async def test_a_bridge_says_that_sending_is_held_back_why_and_until_when(api: httpx.AsyncClient, desk: Desk) -> None:
    look = Look(state=BreakerState.OPEN, reason="429", for_s=5.0, probe_in_s=30.0)
    held = replace(desk.bridges()[0], sending=look, held_back=2)
    desk.bridges = lambda: [held]  # type: ignore[method-assign]

    (told,) = (await api.get("/api/v1/bridges")).json()
    assert told["sending"] == {
        "state": "open",
        "reason": "429",
        "since_ms": START_MS - 5_000,
        "next_try_ms": START_MS + 30_000,
        "held_back": 2,
        "words": "sending is held back: 429; next try in 30 s",
    }
    assert told["sending"]["words"] in (await api.get("/")).text
    text = (await api.get("/metrics")).text
    assert 'crossband_breaker_open{bridge="home"} 1.0' in text
    assert 'crossband_breaker_opened_total{bridge="home"} 2.0' in text

    idle = replace(held, sending=replace(look, state=BreakerState.HALF_OPEN, probe_in_s=0.0))
    desk.bridges = lambda: [idle]  # type: ignore[method-assign]
    (told,) = (await api.get("/api/v1/bridges")).json()
    assert told["sending"]["words"] == "sending was held back, the next message finds out: 429"
    assert 'crossband_breaker_open{bridge="home"} 0.0' in (await api.get("/metrics")).text


async def test_metrics_and_console_answer_while_the_journal_cannot_be_read(
    api: httpx.AsyncClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> Any:
        raise JournalError("disk I/O error")

    monkeypatch.setattr(desk.journal, "tally", broken)

    assert "crossband_bridge_up" in (await api.get("/metrics")).text
    assert "disk I/O error" in (await api.get("/")).text
    assert (await api.get("/api/v1/status")).json()["deliveries"] == {}


async def test_the_console_shows_state_queue_and_dead_letters_escaped(api: httpx.AsyncClient, desk: Desk) -> None:
    await _say(api, "waiting")
    (ident,) = (await _say(api, "<script>alert(1)</script>\u202e"))["deliveries"]
    await desk.fail(ident, reason="<b>no</b>")

    answer = await api.get("/")

    assert answer.headers["content-type"].startswith("text/html")
    assert "hilltop" in answer.text
    assert "the cable is out" in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script" not in answer.text
    assert "<b>" not in answer.text
    assert "\u202e" not in answer.text


async def test_pages_load_nothing_from_other_hosts(api: httpx.AsyncClient) -> None:
    for path in ("/", "/docs"):
        page = (await api.get(path)).text
        wanted = re.findall(r'(?:href|src)="([^"]*)"', page)

        assert wanted
        assert all(one.startswith("/") and not one.startswith("//") for one in wanted)
        for one in wanted:
            assert (await api.get(one)).status_code == 200
    style = await api.get("/assets/crossband.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "http" not in style.text.replace("http-equiv", "")


async def test_the_reference_names_every_endpoint(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    page = (await api.get("/docs")).text

    assert document["openapi"].startswith("3.")
    assert {"/livez", "/readyz", "/metrics", "/api/v1/events", "/api/v1/queue/retry"} <= set(document["paths"])
    for path in document["paths"]:
        assert path in page
    assert "Idempotency-Key" in page


async def test_foreign_hosts_and_cross_site_posts_are_refused(api: httpx.AsyncClient) -> None:
    rebound = await api.get("/api/v1/status", headers={"host": "evil.example"})
    posted = await api.post(
        "/api/v1/messages", json={"text": "x", "to": "radio/LongFast"}, headers={"origin": "http://evil.example"}
    )

    assert (rebound.status_code, posted.status_code) == (421, 403)


async def test_who_comes_over_the_network_needs_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-some-length")
    extra = '\n[api]\nlisten = "0.0.0.0:8080"\ntoken_file = "token"\n'
    async with open_desk(tmp_path, extra) as desk:
        transport = httpx.ASGITransport(app=create_app(desk, local=False))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            without = await client.get("/api/v1/status")
            right = await client.get("/api/v1/status", headers={"authorization": "Bearer a-token-of-some-length"})

    assert (without.status_code, right.status_code) == (401, 200)


async def test_events_are_streamed_with_pings_and_end_when_the_hub_closes() -> None:
    hub = EventHub()
    subscription = hub.subscribe()
    lines = stream(subscription, ping_every_s=0.01)

    assert await anext(lines) == b": listening\n\n"
    assert await anext(lines) == b": ping\n\n"
    hub.publish(Event(name="bridge", data={"name": "radio", "state": "up"}))
    written = await anext(lines)
    while written == b": ping\n\n":
        written = await anext(lines)
    assert written == b'event: bridge\ndata: {"name": "radio", "state": "up"}\n\n'
    hub.close()
    assert [one async for one in lines][-1] == b"event: end\ndata: {}\n\n"


async def test_an_open_event_stream_does_not_hold_up_a_stop_and_gives_its_place_back(desk: Desk) -> None:
    async with asyncio.timeout(10), serving(desk, local=False) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in await reader.readline()
        await reader.readuntil(b": listening\n\n")
        desk.events.publish(Event(name="message", data={"id": "abc"}))
        assert json.loads((await reader.readuntil(b"}\n\n")).partition(b"data: ")[2]) == {"id": "abc"}
        desk.events.close()
        rest = await reader.readuntil(b"data: {}\n\n")
        writer.close()
    assert b"event: end" in rest


async def test_a_listener_who_goes_away_gives_its_place_back(desk: Desk) -> None:
    desk.events = EventHub(subscribers=1)
    async with asyncio.timeout(10), serving(desk, local=False) as (host, port):
        for _ in range(3):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while b" 200 " not in (line := await reader.readline()):
                assert b" 503 " in line, "the place is given back a moment after the listener left"
                writer.close()
                await asyncio.sleep(0.01)
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b": listening\n\n")
            writer.close()
            await writer.wait_closed()


async def test_a_chunked_flood_is_cut_off_by_the_server(desk: Desk) -> None:
    async with asyncio.timeout(10), serving(desk, local=False) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(
            b"POST /api/v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        writer.write((b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 8)
        assert b" 413 " in await reader.readline()
        writer.close()
