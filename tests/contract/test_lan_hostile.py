# SPDX-License-Identifier: GPL-3.0-or-later
"""A box that belongs and sends what no box sends, over real TLS: counted, slowed, shut out; all else goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan import conduct, server
from bridges.lan.event import BEFORE_FIRST, Event, box_id, feed_id, written
from bridges.lan.hlc import COUNTS, MOST_AHEAD_MS, ms_of
from bridges.lan.staying import MOST_CONNECTIONS
from bridges.lan.tls import Contexts
from bridges.lan.wire import MOST_BYTES, Offer, body_of, read
from tests.bench.running import resident_mib
from tests.lan_boxes import LanBox, WallClock, community

ZEROS = "0" * 32


@dataclass
class Hostile:
    """Somebody with the key of a box that belongs, and a client of their own."""

    at: LanBox
    key: Ed25519PrivateKey
    said: int = 0
    head: bytes = BEFORE_FIRST

    @property
    def feed(self) -> Any:
        return feed_id(box_id(self.key.public_key()), 7)

    def next(self, **more: Any) -> Event:
        """Return the next event of the box's feed, as it should be but for `more`."""
        self.said += 1
        fields = {
            "feed": self.feed,
            "seq": self.said,
            "hlc": WallClock().now_ms() * COUNTS + self.said,
            "previous": self.head,
            "native": f"web:hostile/{self.said}",
            "body": "{}",
        }
        event = written(more.pop("key", self.key), **(fields | more))
        self.head = event.hash
        return event

    def offer(self, *events: Event) -> bytes:
        return body_of(Offer(feed=self.feed, have=ZEROS, believe=ZEROS, events=events))

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        contexts = Contexts(self.key)
        contexts.accept([self.at.key.public_key()])
        tls: ssl.SSLContext = contexts.client
        return await asyncio.open_connection("127.0.0.1", self.at.mesh.port, ssl=tls)

    async def post(self, body: bytes, *headers: str) -> tuple[int, bytes]:
        """Return the status and what was answered; 0: it hung up."""
        reader, writer = await self.open()
        head = ["POST /sync HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", "Connection: close", *headers]
        try:
            async with asyncio.timeout(20):
                writer.write("\r\n".join([*head, "", ""]).encode())
                with suppress(ConnectionError):
                    writer.write(body)
                    await writer.drain()
                answer = await reader.read()
        except ConnectionError:
            return 0, b""
        finally:
            writer.transport.abort()
        status, _, rest = answer.partition(b"\r\n\r\n")
        return (int(status.split()[1]), rest) if status else (0, b"")

    async def offers(self, *events: Event) -> int:
        return (await self.post(self.offer(*events)))[0]


@pytest.fixture
async def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hostile]:
    monkeypatch.setattr(server, "ASKING_S", 2.0)
    async with community(tmp_path, "a", "b") as (a, b):
        await b.stop()
        a.counts.clear()
        yield Hostile(at=a, key=b.key)


async def heard(box: LanBox) -> list[str]:
    return [native.rpartition("/")[2] for native in await box.heard()]


async def test_good_events_around_forged_alien_and_missing_ones_are_taken(hostile: Hostile) -> None:
    stranger = Ed25519PrivateKey.generate()
    alien = written(
        stranger,
        feed=feed_id(box_id(stranger.public_key()), 1),
        seq=1,
        hlc=9,
        previous=BEFORE_FIRST,
        native="x",
        body="",
    )
    one, two = hostile.next(), hostile.next()
    unsigned = replace(hostile.next(), signature=bytes(64))
    hostile.said, hostile.head = 2, two.hash
    three = hostile.next()
    gap = replace(three, seq=90)
    assert await hostile.offers(one, alien, two, unsigned, gap) == 200
    assert await hostile.offers(three) == 200
    assert await heard(hostile.at) == ["1", "2", "3"]
    assert hostile.at.counts == {"event_alien": 1, "event_forged": 1, "event_gap": 1}


async def test_what_is_replayed_changes_nothing_and_counts_for_nothing(hostile: Hostile) -> None:
    body = hostile.offer(hostile.next(), hostile.next())
    for _ in range(5):
        assert (await hostile.post(body))[0] == 200
    assert await heard(hostile.at) == ["1", "2"]
    assert hostile.at.counts == {}


async def test_events_in_any_order_are_taken_in_that_of_their_feed(hostile: Hostile) -> None:
    events = [hostile.next() for _ in range(20)]
    later = [hostile.next() for _ in range(2)]
    assert await hostile.offers(*later) == 200  # what is before them isn't there
    assert await heard(hostile.at) == []
    random.Random(2).shuffle(events)
    assert await hostile.offers(*events, *reversed(later)) == 200
    assert await heard(hostile.at) == [str(number) for number in range(1, 23)]
    assert hostile.at.counts == {"event_gap": 2}


async def test_a_stamp_of_the_far_future_takes_no_other_box_along(hostile: Hostile) -> None:
    assert await hostile.offers(hostile.next(hlc=2**53 - 2), hostile.next(hlc=2**53 - 1)) == 200
    await hostile.at.mesh.append("web:a/1", "{}")
    own = (await hostile.at.mesh.news(0))[-1].event
    assert own.native == "web:a/1"
    assert ms_of(own.hlc) <= WallClock().now_ms() + MOST_AHEAD_MS + 1000


async def test_a_feed_written_two_ways_stays_as_it_was_first_heard(hostile: Hostile) -> None:
    one = hostile.next()
    hostile.said, hostile.head = 0, BEFORE_FIRST
    other = hostile.next(native="web:hostile/other")
    following = hostile.next()
    assert await hostile.offers(one) == 200
    assert await hostile.offers(other, following) == 200
    assert await heard(hostile.at) == ["1"]
    assert hostile.at.counts["feed_forked"] >= 1


async def test_who_writes_too_fast_is_taken_later_and_loses_nothing(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = hostile.at.mesh.exchange.rates
    monkeypatch.setattr(conduct, "PER_MINUTE", 0)
    rates._left[box_id(hostile.key.public_key())] = (3.0, WallClock().monotonic())
    events = [hostile.next() for _ in range(10)]
    assert await hostile.offers(*events) == 200
    assert await heard(hostile.at) == ["1", "2", "3"]
    assert hostile.at.counts == {"event_too_fast": 7}
    rates._left.clear()
    assert await hostile.offers(*events) == 200
    assert await heard(hostile.at) == [str(number) for number in range(1, 11)]


def _nested() -> bytes:
    return b'{"v":' + b"[" * 500_000


def _huge_number() -> bytes:
    return b'{"v":1,"port":' + b"9" * 100_000 + b"}"


def _broken(hostile: Hostile, **change: Any) -> bytes:
    return json.dumps(json.loads(hostile.offer()) | change).encode()


NONSENSE = {
    "nothing": lambda _: b"",
    "half of JSON": lambda h: h.offer(h.next())[:-9],
    "CBOR": lambda _: bytes.fromhex("a2617601646665656463616263"),
    "no UTF-8": lambda _: b'{"v":1,"feed":"\xff\xfe"}',
    "nesting without end": lambda _: _nested(),
    "a huge number": lambda _: _huge_number(),
    "NaN": lambda h: _broken(h, port=float("nan")),
    "infinity for a count": lambda h: _broken(h, frontier={h.feed: float("inf")}),
    "a number beyond all": lambda h: _broken(h, frontier={h.feed: 2**64}),
    "an event that is too large": lambda h: h.offer(h.next(body="x" * 16_385)),
    "half a surrogate pair": lambda h: h.offer().replace(b'"told":[]', b'"told":[["\\ud800",1,1,1]]'),
    "in another's name": lambda h: _broken(h, feed=h.at.mesh.state.feed),
    "another version": lambda h: _broken(h, v=2),
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_is_refused_counted_and_the_third_time_shut_out(hostile: Hostile, what: str) -> None:
    body = NONSENSE[what](hostile)
    assert [(await hostile.post(body))[0] for _ in range(5)] == [400, 400, 400, 400, 429]
    assert hostile.at.counts == {"request_malformed": 4, "peer_shut_out": 1}
    assert await hostile.at.mesh.append("web:a/1", "{}")


async def test_of_a_name_told_twice_the_last_counts(hostile: Hostile) -> None:
    body = hostile.offer(hostile.next()).replace(b'{"v":1,', b'{"v":7,"v":1,')
    assert (await hostile.post(body))[0] == 200
    assert await heard(hostile.at) == ["1"]


async def test_what_is_too_large_is_refused_before_it_is_all_here(hostile: Hostile) -> None:
    before_mib = resident_mib(os.getpid())
    assert (await hostile.post(b"x" * (MOST_BYTES + 1)))[0] == 413
    reader, writer = await hostile.open()
    writer.write(b"POST /sync HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    with suppress(ConnectionError):
        for _ in range(64):
            writer.write(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
            await writer.drain()
    with suppress(ConnectionError):
        assert b" 413 " in await reader.readline()
    writer.transport.abort()
    assert hostile.at.counts == {"request_oversized": 2}
    assert resident_mib(os.getpid()) - before_mib < 32


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_nothing_is_unpacked(hostile: Hostile, coding: str) -> None:
    """A kilobyte may be a thousand when it is unpacked; no box packs."""
    offer = hostile.offer(hostile.next())
    packed = gzip.compress(offer) if coding == "gzip" else zlib.compress(offer)
    assert (await hostile.post(packed, f"Content-Encoding: {coding}"))[0] == 400
    assert await heard(hostile.at) == []
    assert hostile.at.counts == {"request_malformed": 1}


@pytest.mark.parametrize("begun", [b"", b"POST /sy", b"POST /sync HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n{"])
async def test_who_says_nothing_or_never_ends_is_hung_up_on(
    hostile: Hostile, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_S", 0.3)
    reader, writer = await hostile.open()
    writer.write(begun)
    async with asyncio.timeout(10):
        with suppress(ConnectionError):
            assert b"200" not in await reader.read()
    writer.transport.abort()
    assert await hostile.offers(hostile.next()) == 200


async def test_what_is_no_http_is_answered_with_an_error(hostile: Hostile) -> None:
    for line in (
        b"\x16\x03\x01" * 200,
        b"GET /sync HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        reader, writer = await hostile.open()
        writer.write(line + b"\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readline()).split()[1][:1] == b"4"
        writer.transport.abort()
    assert await hostile.offers(hostile.next()) == 200


async def test_what_is_no_http_is_counted_and_leaves_no_traceback(
    hostile: Hostile, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        reader, writer = await hostile.open()
        writer.write(b"POST /sync HTTP/1.1\r\nContent-Length: minus\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readline()).split()[1] == b"400"
        writer.transport.abort()
    assert hostile.at.counts["request_unreadable"] == 5
    assert "Traceback" not in caplog.text
    assert await hostile.offers(hostile.next()) == 200


async def test_who_asks_too_often_is_told_to_wait_and_answered_later(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conduct, "ASKS", 3)
    monkeypatch.setattr(conduct, "ASKS_PER_S", 0.001)
    assert [(await hostile.post(hostile.offer()))[0] for _ in range(5)] == [200, 200, 200, 429, 429]
    assert hostile.at.counts == {"request_too_often": 2}
    monkeypatch.setattr(conduct, "ASKS_PER_S", 1e9)
    assert await hostile.offers(hostile.next()) == 200


async def test_a_box_holds_so_many_connections_and_the_oldest_makes_room(hostile: Hostile) -> None:
    opened = [await hostile.open() for _ in range(MOST_CONNECTIONS)]
    more = [await hostile.open() for _ in range(2)]
    async with asyncio.timeout(10):
        for reader, _ in opened[:2]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
    assert hostile.at.counts["connections_many"] == 2
    body = hostile.offer(hostile.next())
    for reader, writer in (opened[2], more[1]):
        writer.write(b"POST /sync HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        async with asyncio.timeout(10):
            assert (await reader.readline()).split()[1] == b"200"
    for _, writer in (*opened, *more):
        writer.transport.abort()


async def test_the_answer_to_a_good_offer_after_all_that_is_read(hostile: Hostile) -> None:
    assert (await hostile.post(b"["))[0] == 400
    status, answer = await hostile.post(hostile.offer(hostile.next()))
    assert status == 200
    assert read(answer).feed == hostile.at.mesh.state.feed
