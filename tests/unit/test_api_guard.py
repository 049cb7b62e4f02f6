# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.api.guard: who may ask, under which name, and how much they may say."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from gateway.access import Access
from gateway.api import guard
from gateway.api.guard import MAX_BODY_BYTES, Guard

OPEN = Access(hosts=frozenset({"gateway.local"}), token_digest=None)
JSON = {"content-type": "application/json"}


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"{scope['method']} {len(body)}")(scope, receive, send)


def _client(access: Access | None = OPEN) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=Guard(_echo, access=access))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway.local")


async def test_a_plain_question_is_let_through_with_strict_headers() -> None:
    async with _client() as client:
        answer = await client.get("/x")

    assert answer.text == "GET 0"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example", "gateway.local.evil.example", "10.9.9.9", "", "a b"])
async def test_a_foreign_host_header_is_refused(host: str) -> None:
    async with _client() as client:
        answer = await client.get("/x", headers={"host": host})

    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "detail" in answer.json()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://[evil"},
        {"origin": "http://gateway.local:81"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://gateway.local"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
async def test_another_sites_page_may_not_change_anything(headers: dict[str, str], method: str) -> None:
    async with _client() as client:
        answer = await client.request(method, "/x", headers=JSON | headers, content=b"{}")

    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/status", "/metrics", "/"])
async def test_another_sites_page_may_not_ask_either(headers: dict[str, str], path: str) -> None:
    async with _client() as client:
        answers = [await client.request(method, path, headers=headers) for method in ("GET", "HEAD", "OPTIONS")]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


async def test_a_link_to_a_page_of_ours_may_be_followed_and_health_may_be_asked_from_anywhere() -> None:
    visit = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    async with _client() as client:
        pages = [(await client.get(path, headers=visit)).status_code for path in ("/", "/docs")]
        streams = (await client.get("/api/v1/events", headers=visit)).status_code
        health = (await client.get("/readyz", headers={"sec-fetch-site": "cross-site"})).status_code

    assert (pages, streams, health) == ([200, 200], 403, 200)


async def test_our_own_page_and_programs_may() -> None:
    async with _client() as client:
        own = await client.post("/x", headers=JSON | {"origin": "http://gateway.local"}, content=b"{}")
        program = await client.post("/x", headers={"content-type": "application/json; charset=utf-8"}, content=b"{}")

    assert own.text == program.text == "POST 2"


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
async def test_a_post_that_a_form_could_make_is_refused(kind: str | None) -> None:
    async with _client() as client:
        answer = await client.post("/x", headers={} if kind is None else {"content-type": kind}, content=b"{}")

    assert answer.status_code == 415


async def test_a_body_may_have_64_kib_and_no_more() -> None:
    async with _client() as client:
        most = await client.post("/x", headers=JSON, content=b"x" * MAX_BODY_BYTES)
        more = await client.post("/x", headers=JSON, content=b"x" * (MAX_BODY_BYTES + 1))
        huge = await client.post("/x", headers=JSON | {"content-length": "9" * 40}, content=b"x")
        odd = await client.post("/x", headers=JSON | {"content-length": "-1"}, content=b"x")

    assert most.text == f"POST {MAX_BODY_BYTES}"
    assert [more.status_code, huge.status_code, odd.status_code] == [413, 413, 400]


async def test_a_chunked_body_has_the_same_limit() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1024
            yield b"x" * 1024

    async with _client() as client:
        answer = await client.post("/x", headers=JSON, content=endless())

    assert answer.status_code == 413
    assert taken <= MAX_BODY_BYTES + 4096


async def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_WITHIN_S", 0.01)

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with _client() as client:
        answer = await client.post("/x", headers=JSON, content=never())

    assert answer.status_code == 408


async def test_with_a_token_it_is_asked_for_except_for_health() -> None:
    digest = hashlib.sha256(b"a-long-enough-token").digest()
    async with _client(Access(hosts=OPEN.hosts, token_digest=digest)) as client:
        without = await client.get("/x")
        wrong = await client.get("/metrics", headers={"authorization": "Bearer other"})
        right = await client.get("/x", headers={"authorization": "Bearer a-long-enough-token"})
        health = [await client.get(path) for path in ("/livez", "/readyz")]

    assert [without.status_code, wrong.status_code, right.status_code] == [401, 401, 200]
    # One challenge a header: Chromium reads no more of one.
    told = without.headers.get_list("www-authenticate")
    assert told == ['Basic realm="crossband"', 'Bearer realm="crossband"']
    assert [answer.status_code for answer in health] == [200, 200]


async def test_on_the_private_socket_no_name_and_no_token_are_asked_but_the_rest_holds() -> None:
    async with _client(None) as client:
        answer = await client.get("/x", headers={"host": "anything"})
        form = await client.post("/x", content=b"{}")
        large = await client.post("/x", headers=JSON, content=b"x" * (MAX_BODY_BYTES + 1))

    assert [answer.status_code, form.status_code, large.status_code] == [200, 415, 413]


async def test_web_sockets_are_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await Guard(_echo, access=None)({"type": "websocket"}, receive, send)

    assert sent == [{"type": "websocket.close", "code": 1008}]
