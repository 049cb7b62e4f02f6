# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest

from bridges.lan.page import Page, PageSettings, live, stream
from bridges.lan.page.quoting import Quotes
from bridges.lan.page.telling import Telling
from tests.halls import MemoryHall


@pytest.fixture
def hall():
    return MemoryHall()


@pytest.fixture
async def page(hall):
    made = Page(hall, PageSettings(box="hilltop", port=8081))
    yield made
    await made.close()


class Reader:
    """An open event stream."""

    def __init__(self) -> None:
        self.status = 0
        self.text = ""
        self.more = asyncio.Event()
        self.gone = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        await self.reads.wait()
        self.status = message.get("status", self.status)
        self.text += message.get("body", b"").decode()
        self.more.set()

    async def until(self, words: str) -> None:
        async with asyncio.timeout(10):
            while words not in self.text:
                self.more.clear()
                await self.more.wait()


def scope_of(query: str = "", *, last: str | None = None, language: str = "en", room: str = "town"):
    head = [(b"host", b"hilltop.local:8081"), (b"accept-language", language.encode())]
    if last is not None:
        head.append((b"last-event-id", last.encode()))
    path = f"/r/{room}/events"
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "headers": head,
    }
    return {**scope, "query_string": query.encode(), "client": ("192.168.4.20", 1), "server": ("192.168.4.1", 80)}


@asynccontextmanager
async def reading(page, query="", **more):
    reader = Reader()
    task = asyncio.create_task(page(scope_of(query, **more), reader.receive, reader.send))
    try:
        await reader.until("retry:") if reader.reads.is_set() else None
        yield reader
    finally:
        reader.gone.set()
        reader.reads.set()
        async with asyncio.timeout(10):
            await task


async def test_a_new_line_goes_to_everybody_who_listens_in_their_language(hall, page):
    async with reading(page) as one, reading(page, language="de") as two, reading(page, room="help/desk") as other:
        hall.hear("who has water?")
        await one.until("who has water?")
        await two.until("who has water?")
        assert "not verified" in one.text
        assert "nicht bestätigt" in two.text
        assert "id: 1\n" in one.text
        assert "water" not in other.text


async def test_who_comes_again_gets_what_it_missed_and_what_changed_meanwhile(hall, page):
    lines = [hall.hear(f"line {number}.") for number in range(1, 6)]
    hall.change(lines[1], state="radio: heard")
    async with reading(page, last="3") as reader:
        await reader.until("line 5.")
        assert "radio: heard" in reader.text
        hall.change(lines[0], gone=True, text="")
        await reader.until("Taken back.")
    assert reader.text.rindex("id: 5\n") > reader.text.index("line 5.")
    assert "id: 1\n" not in reader.text


async def test_who_comes_from_the_page_gets_only_what_is_newer_than_it(hall, page):
    for number in range(1, 6):
        hall.hear(f"line {number}.")
    async with reading(page, "after=3") as reader:
        await reader.until("line 5.")
    assert "line 3." not in reader.text
    assert "line 4." in reader.text


async def test_who_missed_more_than_is_replayed_is_told_to_read_the_page_anew(hall, page):
    for number in range(1, 301):
        hall.hear(f"line {number}.")
    async with reading(page, last="150") as reader:
        await reader.until("event: gap")
        hall.hear("new.")
        await reader.until("new.")
    assert "line 300." not in reader.text


async def test_history_is_capped(hall, page):
    for number in range(1, 301):
        hall.hear(f"line {number}.")
    async with reading(page, "after=0") as reader:
        await reader.until("line 300.")
    assert "line 201." in reader.text
    assert "line 200." not in reader.text


async def test_history_goes_to_a_few_at_a_time_and_new_lines_wait_for_none_of_it(hall, page, monkeypatch):
    hall.hear("old")
    at_once, most = 0, 0
    lines = hall.lines

    async def counted(room, **more):
        nonlocal at_once, most
        if more.get("limit") == stream.MOST_REPLAYED:
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.001)
            at_once -= 1
        return await lines(room, **more)

    monkeypatch.setattr(hall, "lines", counted)
    async with contextlib.AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(reading(page)) for _ in range(40)]
        for reader in readers:
            await reader.until("old")
    assert 0 < most <= stream.AT_ONCE


async def test_a_follower_that_was_ended_is_followed_again_and_nothing_is_missing(hall, page, monkeypatch):
    monkeypatch.setattr(live, "FOLLOW_AGAIN_S", 0.02)
    async with reading(page) as reader:
        hall.hear("one")
        await reader.until("one")
        hall.end_followers()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not hall.followers
        hall.hear("in between")
        await reader.until("in between")


async def test_a_slow_reader_is_ended_and_holds_nobody_up(hall, page):
    async with reading(page) as slow, reading(page) as quick:
        await slow.until("retry:")
        slow.reads.clear()
        for number in range(200):
            hall.hear(f"line {number}.")
            if number % 20 == 0:
                await quick.until(f"line {number}.")
        await quick.until("line 199.")
        slow.reads.set()
        await asyncio.sleep(0.05)
    assert "line 199." not in slow.text


async def test_a_reader_that_takes_nothing_is_cut_off(hall, page, monkeypatch):
    monkeypatch.setattr(stream, "TAKEN_WITHIN_S", 0.01)
    reader = Reader()
    task = asyncio.create_task(page(scope_of(), reader.receive, reader.send))
    await reader.until("retry:")
    reader.reads.clear()
    hall.hear("unread")
    async with asyncio.timeout(5):
        await task
    assert not hall.followers


async def test_nobody_takes_all_the_streams(hall, page, monkeypatch):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(48):
            await stack.enter_async_context(reading(page))
        refused = Reader()
        await page(scope_of(), refused.receive, refused.send)
        assert refused.status == 503
    async with reading(page) as again:
        assert again.status == 200


async def test_a_room_that_nobody_reads_is_not_followed(hall, page):
    async with reading(page):
        hall.hear("x")
        await asyncio.sleep(0)
        assert len(hall.followers) == 1
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not hall.followers


async def test_closing_ends_every_stream(hall):
    page = Page(hall, PageSettings(box="hilltop", port=8081))
    reader = Reader()
    task = asyncio.create_task(page(scope_of(), reader.receive, reader.send))
    await reader.until("retry:")
    await page.close()
    async with asyncio.timeout(5):
        await task
    assert not hall.followers


def test_a_line_is_written_once_a_language_until_it_changes(hall, monkeypatch):
    written = []
    monkeypatch.setattr("bridges.lan.page.telling.line_html", lambda *told: written.append(told[0]) or "<li>")
    telling = Telling(Quotes())
    line = hall.hear("x")
    for language in ("en", "de", "en"):
        telling.of(line).data(language, "")
    assert written == ["en", "de"]
    telling.of(hall.change(line, state="radio: heard")).data("en", "")
    assert written == ["en", "de", "en"]


def test_quotes_are_as_many_as_they_may_be(hall, monkeypatch):
    monkeypatch.setattr("bridges.lan.page.quoting.MOST_REMEMBERED", 3)
    quotes = Quotes()
    lines = [hall.hear(f"line {number}") for number in range(5)]
    quotes.remember(lines)
    assert quotes.get(lines[0].id) is None
    assert quotes.get(lines[4].id).text == "line 4"
