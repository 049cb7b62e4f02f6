# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking at the desk where somebody is: told in private, soon or at the second time, and nobody is held up by it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.desk import FrontDesk
from gateway.desk.positions import FRESH_S, PATIENCE_S
from gateway.model import Address, Asked, Declined, Joined, SenderId
from tests.contract.desk import open_desk

PERMISSIONS = """
[permissions]
"*" = "read"
"@cmd:x" = "commands"
"""
CMD = SenderId("@cmd:x")
TOWN, OFFICE, CHAT, RIDGE = map(Address.parse, ("home/#town", "home/!office", "home/!chat", "radio/!a1b2c301"))
PLACE = "Ridge: geo 46.51234,8.10000"


class Routes:
    """One direct chat."""

    def joined(self, here):
        return [Joined(route="chat", ends=(CHAT, RIDGE), direct=True)] if here == CHAT else []

    def resolve(self, there):
        return Address.parse(f"radio/{there}")


class Box:
    def __init__(self, running):
        self.running = running
        self.desk = FrontDesk(running.rulings, Routes())
        self.desk.open(running)

    async def ask(self, words="position !a1b2c301", *, at=OFFICE, private=True):
        return await self.desk.answer(Asked(sender=CMD, words=words, at=at, private=private))

    async def ask_in_vain(self, words="position !a1b2c301"):
        """Ask while nothing comes back."""
        asking = asyncio.create_task(self.ask(words))
        while not self.running.located:
            await asyncio.sleep(0)
        self.running.clock.advance(PATIENCE_S)
        return await asking

    async def comes_back(self, what):
        self.running.place.set_result(what)
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def box(tmp_path):
    async with open_desk(tmp_path, PERMISSIONS) as running:
        yield Box(running)


@pytest.mark.parametrize("words", ["position !a1b2c301", "where-is !a1b2c301"])
async def test_a_place_that_comes_at_once_is_the_answer(box, words):
    await box.comes_back(PLACE)

    assert await box.ask(words) == PLACE
    assert box.running.located == [RIDGE]


async def test_a_place_that_takes_longer_holds_nobody_up_and_is_told_when_asked_again(box):
    assert "may take a minute" in await box.ask_in_vain()
    assert "may take a minute" in await box.ask()  # at once: no time passes here

    box.running.clock.advance(30)
    await box.comes_back(PLACE)
    box.running.clock.advance(20)

    assert await box.ask() == f"{PLACE} (answered 20 s ago)"
    assert box.running.located == [RIDGE]


async def test_an_answer_that_got_old_is_asked_for_anew(box):
    await box.comes_back(PLACE)
    await box.ask()
    box.running.clock.advance(FRESH_S)

    assert await box.ask() == PLACE
    assert box.running.located == [RIDGE, RIDGE]


async def test_what_came_to_nothing_is_said_once_and_then_asked_again(box):
    await box.ask_in_vain()
    await box.comes_back(Declined("radio/!a1b2c301: no answer within 60 s"))

    with pytest.raises(Declined, match="no answer within 60 s"):
        await box.ask()
    with pytest.raises(Declined, match="no answer within 60 s"):
        await box.ask()
    assert box.running.located == [RIDGE, RIDGE]


async def test_a_defect_is_not_waited_for_for_ever(box):
    await box.ask_in_vain()
    box.running.place.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    with pytest.raises(Declined, match="can't be asked"):
        await box.ask()


async def test_in_a_room_of_many_nobody_is_told_where_somebody_is(box):
    with pytest.raises(Declined, match="in private"):
        await box.ask(at=TOWN, private=False)
    assert box.running.located == []


async def test_in_a_direct_chat_no_name_is_needed(box):
    await box.comes_back(PLACE)

    assert await box.ask("position", at=CHAT, private=False) == PLACE
    with pytest.raises(Declined, match="say whose"):
        await box.ask("position")
