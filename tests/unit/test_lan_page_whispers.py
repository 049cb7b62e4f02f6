# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody is told alone is hinted at in the rooms they are in."""

from __future__ import annotations

import asyncio

import pytest

from bridges.lan.hall import Person
from bridges.lan.page import Page, PageSettings
from bridges.lan.page import whispers as module
from bridges.lan.page.whispers import MOST_COUNTED, Whispers
from gateway.model import SenderId
from tests.halls import MemoryHall
from tests.pages import client, join

OWN = "~Ada@hilltop"
ADA = Person(id=SenderId(OWN), nick="Ada", key="k")


@pytest.fixture
def hall():
    return MemoryHall()


async def test_without_script_a_line_for_one_alone_is_counted_in_the_title_the_rooms_and_the_frame(hall):
    hall.hear("before she came", room=OWN)
    page = Page(hall, PageSettings(box="hilltop", port=8081))
    async with client(page) as ada, client(page) as bo:
        await join(ada, "Ada")
        await join(bo, "Bo")
        assert "new line" not in (await ada.get("/r/town/lines")).text
        for text in ("for you", "and you alone"):
            hall.hear(text, room=OWN)
        room = await ada.get("/r/town/?lang=de")
        assert "<title>(2) town" in room.text
        assert 'data-count="2">2 neue Zeilen nur für dich</strong>' in room.text
        frame = (await ada.get("/r/town/lines")).text
        assert f'<a href="/r/{OWN.replace("@", "%40")}/" target="_top">2 new lines for you alone</a>' in frame
        assert "new line" not in (await bo.get("/r/town/lines")).text
        assert "<title>town" in (await bo.get("/r/town/")).text
        await ada.get(f"/r/{OWN}/lines")
        assert "new line" not in (await ada.get("/r/town/lines")).text
        assert "<title>town" in (await ada.get("/r/town/")).text
    await page.close()


async def test_ones_own_words_and_what_was_taken_back_are_no_news_and_no_more_is_counted_than_may_be(hall):
    whispers = Whispers(hall)
    assert await whispers.count(ADA) == 0
    said = hall.hear("from me", room=OWN)
    hall.change(said, sender=ADA.id)
    hall.change(hall.hear("gone", room=OWN), gone=True, text="")
    assert await whispers.count(ADA) == 0
    for number in range(30):
        hall.hear(str(number), room=OWN)
    assert await whispers.count(ADA) == MOST_COUNTED


async def test_what_was_looked_through_is_not_looked_through_again(hall, monkeypatch):
    asked, lines = [], hall.lines

    async def noted(room, *, after=0, before=None, limit=50):
        asked.append(after)
        return await lines(room, after=after, before=before, limit=limit)

    monkeypatch.setattr(hall, "lines", noted)
    whispers = Whispers(hall)
    for newest in (5, 900, 1_000):
        assert await whispers.count(ADA, newest) == 0
    assert asked == [0, 5, 900]


async def test_of_more_people_than_may_be_the_counting_begins_anew(hall, monkeypatch):
    monkeypatch.setattr(module, "MOST_PRESENT", 2)
    whispers = Whispers(hall)
    for key in "abc":
        whispers.seen(Person(id=SenderId(f"~{key}@hilltop"), nick=key, key=key), 1)
    assert list(whispers._seen) == ["b", "c"]


async def test_a_follower_that_fails_is_followed_again(hall, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    follow, fails = hall.follow, [OSError("disk"), None]

    def follows(room):
        if (failure := fails.pop(0) if fails else None) is not None:
            raise failure
        return follow(room)

    monkeypatch.setattr(hall, "follow", follows)
    whispers = Whispers(hall)
    await whispers.count(ADA)
    counts = whispers.counts(ADA)
    async with asyncio.timeout(10):
        waiting = asyncio.ensure_future(anext(counts))
        while not hall.followers:
            await asyncio.sleep(0)
        hall.hear("for you", room=OWN)
        assert await waiting == 1
    await counts.aclose()
