# SPDX-License-Identifier: GPL-3.0-or-later
"""What strangers send to the page's port, byte by byte: it is refused or harmless, and the next one is served."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from tests.browsing import served
from tests.halls import MemoryHall

WITHIN_S = 15.0
BIG = 64 * 1024 + 1
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")  # wherever it stands: behind a body there is no end of a line


@pytest.fixture
async def hall() -> MemoryHall:
    return MemoryHall()


@pytest.fixture
async def port(hall: MemoryHall, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr("gateway.connections.Connection.head_within_s", 2.0)
    async with served(hall) as at:
        yield at
        assert await statuses(at, get()) == [200], "the box is still there for the next one"
        assert hall.persons == {}, "and nobody got in who shouldn't"


async def sent(port: int, data: bytes, *, peer: str = "127.0.0.1") -> bytes:
    """Send bytes and no more; return all that comes until the box hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(peer, 0))
    try:
        async with asyncio.timeout(WITHIN_S):
            writer.write(data)
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def statuses(port: int, data: bytes, **more: str) -> list[int]:
    return [int(status) for status in _STATUS.findall(await sent(port, data, **more))]


def get(path: str = "/", *headers: str, host: str = "Host: gateway.local", version: str = "1.1") -> bytes:
    lines = [f"GET {path} HTTP/{version}", *filter(None, [host]), *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def post(body: bytes, *headers: str, path: str = "/join", length: int | None = None) -> bytes:
    sizes = [] if length == -1 else [f"Content-Length: {len(body) if length is None else length}"]
    lines = [f"POST {path} HTTP/1.1", "Host: gateway.local", *headers, *sizes, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


FORM = "Content-Type: application/x-www-form-urlencoded"
CHUNKED = "Transfer-Encoding: chunked"
SMUGGLED = b"0\r\n\r\nGET /r/town/ HTTP/1.1\r\nHost: gateway.local\r\n\r\n"


REFUSED = (
    ("a length and chunks", post(SMUGGLED, FORM, CHUNKED), 400),
    ("chunks and a length", post(SMUGGLED, FORM, "Content-Length: 3", CHUNKED, length=-1), 400),
    ("two lengths", post(b"nick=Ada", FORM, "Content-Length: 0"), 400),
    ("a list of lengths", post(b"nick=Ada", FORM, "Content-Length: 8, 0", length=-1), 400),
    ("chunks twice", post(SMUGGLED, FORM, CHUNKED, CHUNKED, length=-1), 400),
    ("chunks in another coding", post(SMUGGLED, FORM, "Transfer-Encoding: gzip, chunked", length=-1), 400),
    ("chunks in a strange spelling", post(SMUGGLED, FORM, "Transfer-Encoding: xchunked", length=-1), 400),
    ("chunks behind a tab", post(SMUGGLED, FORM, "Transfer-Encoding:\x0bchunked", length=-1), 400),
    ("a negative length", post(b"", FORM, "Content-Length: -1", length=-1), 400),
    ("a signed length", post(b"", FORM, "Content-Length: +5", length=-1), 400),
    ("a length of sixteens", post(b"", FORM, "Content-Length: 0x5", length=-1), 400),
    ("a length of many digits", post(b"", FORM, "Content-Length: " + "9" * 4000, length=-1), 400),
    ("a folded Host", get(host="Host: gateway.local\r\n evil.example"), 421),
    ("a folded coding beside a length", post(SMUGGLED, FORM, "Transfer-Encoding:\r\n chunked"), 400),
    ("a space before the colon", get(host="Host : gateway.local"), 400),
    ("a space before the name", b"GET / HTTP/1.1\r\n Host: gateway.local\r\n\r\n", 400),
    ("two hosts", get("/", "Host: evil.example"), 400),
    ("the same host twice", get("/", "Host: gateway.local"), 400),
    ("no host", get(host=""), 400),
    ("no host in 1.0", get(host="", version="1.0"), 421),
    ("another host in the address", get("http://evil.example/"), 400),
    ("another host in a room's address", get("http://evil.example/r/town/"), 400),
    ("our host in the address, another's header", get("http://gateway.local/", host="Host: evil.example"), 400),
    ("a name that was pointed here", get(host="Host: evil.example"), 421),
    ("ours as somebody at another", get(host="Host: gateway.local@evil.example"), 421),
    ("ours before another", get(host="Host: gateway.local.evil.example"), 421),
    ("an empty host", get(host="Host:"), 421),
    ("NUL in a header", get("/", "X-A: a\x00b"), 400),
    ("CR alone in a header", get("/", "X-A: a\rHost: evil.example"), 400),
    ("an unknown version", get(version="3.0"), 400),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400),
    ("a request line of 40 KB", get("/" + "a" * 40_000), 414),
    ("a path of 2 KB", get("/" + "a" * 2_000), 414),
    ("2,000 headers", get("/", *(f"X-{n}: {'a' * 40}" for n in range(2_000))), 431),
    ("headers of 20 KB", get("/", *(f"X-{n}: {'a' * 100}" for n in range(190))), 431),
    ("64 KiB and one byte", post(b"a" * BIG, FORM), 413),
    ("64 KiB and one byte, only said", post(b"", FORM, length=BIG), 413),
    ("a length beyond all", post(b"", FORM, length=10**18), 413),
    ("a reading with a huge length", get("/", f"Content-Length: {BIG}"), 413),
    ("too much in chunks", post(b"1000\r\n" + b"a" * 4096 + b"\r\n", FORM, CHUNKED, length=-1) + (
        b"1000\r\n" + b"a" * 4096 + b"\r\n") * 17 + b"0\r\n\r\n", 413),
    ("a chunk of no number", post(b"zz\r\na", FORM, CHUNKED, length=-1), 400),
    ("more expected than may come", post(b"", FORM, "Expect: 100-continue", length=BIG), 413),
    ("another site's form", post(b"nick=Ada", FORM, "Origin: http://evil.example"), 403),
    ("a form of nowhere", post(b"nick=Ada", FORM, "Origin: null"), 403),
    ("a form of another port", post(b"nick=Ada", FORM, "Origin: http://gateway.local:8080"), 403),
    ("a form of another scheme", post(b"nick=Ada", FORM, "Origin: https://gateway.local"), 403),
    ("a link's form", post(b"nick=Ada", FORM, "Referer: http://evil.example/gateway.local"), 403),
    ("a cross-site fetch", post(b"nick=Ada", FORM, "Sec-Fetch-Site: cross-site"), 403),
    ("a form without its token", post(b"nick=Ada", FORM, "Origin: http://gateway.local"), 403),
    ("a form as plain text", post(b"nick=Ada", "Content-Type: text/plain", "Origin: http://gateway.local"), 403),
    ("a form as JSON", post(b'{"nick": "Ada"}', "Content-Type: application/json"), 403),
    ("an unknown method", b"BREW / HTTP/1.1\r\nHost: gateway.local\r\nConnection: close\r\n\r\n", 405),
    ("a tunnel", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: gateway.local\r\n\r\n", 400),
    ("the whole server", b"OPTIONS * HTTP/1.1\r\nHost: gateway.local\r\nConnection: close\r\n\r\n", 400),
    ("another host as a path", get("//evil.example/"), 404),
    ("a way up", get("/a/..%2f..%2fetc/passwd"), 404),
    ("a way up in dots", get("/a/../../etc/passwd"), 404),
    ("NUL in the path", get("/r/town%00/"), 404),
)  # fmt: skip
HARMLESS = (
    ("lines that end in LF alone", get().replace(b"\r\n", b"\n")),
    ("a wish for another protocol", get("/", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")),
    ("a web socket", get("/", "Upgrade: websocket", "Sec-WebSocket-Key: AAAA", "Sec-WebSocket-Version: 13")),
    ("300 small headers", get("/", *(f"X-{n}: a" for n in range(300)))),
    (
        "a name that another machine vouches for",
        get("/", "X-Forwarded-Host: evil.example", "Forwarded: for=1.1.1.1"),
    ),
    ("the same length twice", get("/", "Content-Length: 0", "Content-Length: 0")),
)


async def test_it_is_refused_once_and_in_words(port: int) -> None:
    wrong = []
    for name, data, expected in REFUSED:
        answer = await sent(port, data)
        got = [int(status) for status in _STATUS.findall(answer)]
        if got != [expected] or b"root:" in answer or b"Traceback" in answer:
            wrong.append((name, got, expected))
    assert wrong == []


async def test_it_is_answered_once_as_if_it_were_nothing(port: int) -> None:
    wrong = []
    for name, data in HARMLESS:
        answer = await sent(port, data)
        got = [int(status) for status in _STATUS.findall(answer)]
        if got != [200] or b"evil" in answer:
            wrong.append((name, got))
    assert wrong == []


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("1603010200010001fc0303") + bytes(512),  # a TLS hello
        b"\x00" * 70_000,
        b"GET / HTTP/1.1\r\n" + b"a" * 70_000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\r\n" * 20_000,
        b"",
    ],
    ids=["tls", "nothing", "no end", "ssh", "empty lines", "silence"],
)
async def test_what_is_no_request_is_hung_up_on(port: int, data: bytes) -> None:
    assert set(await statuses(port, data)) <= {400}


async def test_requests_in_a_row_are_answered_in_a_row_and_what_is_behind_a_refused_one_never(port: int) -> None:
    first = get("/help").replace(b"Connection: close\r\n", b"")
    assert await statuses(port, first + first + get("/nothing")) == [200, 200, 404]
    assert await statuses(port, post(SMUGGLED, FORM, CHUNKED).replace(b"Connection: close\r\n", b"") + get()) == [400]
    hidden = get("/help", f"Content-Length: {len(get('/nothing'))}").replace(b"Connection: close\r\n", b"")
    assert await statuses(port, hidden + get("/nothing") + get("/qr")) == [200, 200]  # a body is no request


@pytest.mark.parametrize("what", ["head", "body"])
async def test_who_sends_byte_by_byte_is_not_waited_for(port: int, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.connections.Connection.head_within_s", 0.3)
    monkeypatch.setattr("bridges.lan.page.guard.BODY_WITHIN_S", 0.3)
    data = b"GET / HTTP/1.1\r\nX: " if what == "head" else post(b"", FORM, length=1000)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    asyncio.get_running_loop().call_later(0.1, writer.write, b"a")
    async with asyncio.timeout(WITHIN_S):
        answer = await _read(reader)
    writer.close()
    assert answer == b"" if what == "head" else b" 408 " in answer.split(b"\r\n")[0]


async def test_hundreds_of_slow_ones_of_one_household_shut_nobody_out(port: int) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0)) for _ in range(300)]
    for _, writer in slow:
        writer.write(b"GET / HTTP/1.1\r\nX: ")
    assert await statuses(port, get()) == [200]
    for _, writer in slow:
        writer.close()


async def test_whoever_wants_every_nickname_gets_a_few_and_the_page_stays_for_the_others(
    hall: MemoryHall, port: int
) -> None:
    token = re.search(rb'name="token" value="([^"]*)"', await sent(port, get(), peer="127.0.0.9"))
    assert token is not None
    bodies = [b"token=%s&nick=n%d" % (token[1], nth) for nth in range(200)]
    asked = [await statuses(port, post(one, FORM), peer="127.0.0.9") for one in bodies]

    assert {status for one in asked for status in one} == {303, 429}
    assert len(hall.persons) <= 21
    hall.persons.clear()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
