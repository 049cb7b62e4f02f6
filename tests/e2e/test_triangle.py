# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole triangle: a browser at one box, a radio at another, Matrix at the third alone, whose internet is cut."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from bridges.sim.synapse import Synapse
from gateway.model import PENDING, State
from tests.browsing import chromium_or_skip
from tests.e2e.tabs import Tab, tabs
from tests.e2e.triangle import Matrix, Triangle, build_triangle, matrix_room, messages
from tests.e2e.world import NEAR

LATE_S = 120
"""What comes to a room by the gateway's account so long after it was said begins with its time."""
SOON_S = 30
"""A round takes no longer, on a busy machine."""
_SAID_ON = {"Baker": "matrix", NEAR: "radio", "ali": "page", "bo": "page"}


@pytest.fixture
async def matrix(synapse: Synapse) -> AsyncIterator[Matrix]:
    async with matrix_room(synapse) as made:
        yield made


class Conversation:
    """What four people on three networks say, and where it has to be in the end."""

    def __init__(self, triangle: Triangle, ali: Tab, bo: Tab) -> None:
        self.triangle, self.ali, self.bo = triangle, ali, bo
        self.said: list[tuple[str, str]] = []
        """Who said what, in order."""
        self.began_s: dict[str, float] = {}
        """When each round did."""

    async def round(self, words: str) -> list[str]:
        """Have each of them say something; return what those at the page did."""
        triangle = self.triangle
        ways = {
            "Baker": triangle.matrix.baker.say,
            NEAR: lambda text: triangle.radio.say(NEAR, text),
            "ali": self.ali.say,
            "bo": self.bo.say,
        }
        self.began_s[words] = time.time()
        for who, say in ways.items():
            text = f"{words}, says {who.lower()}"
            self.said.append((who, text))
            await say(text)
        return [f"{words}, says {who}" for who in ("ali", "bo")]

    async def on_the_lan(self) -> None:
        """Wait until what is said there is at both tabs and came out of a radio."""
        await self._on_the_air(NEAR, "ali", "bo")
        await self._on_the_page(NEAR, "ali", "bo")

    async def everywhere(self) -> None:
        """Wait until all of it is in all three places; then it is there once, in order, under its sender's name."""
        triangle = self.triangle
        for _, text in self.said:
            await triangle.matrix.seen(text)
        await self._on_the_air(*_SAID_ON)
        for lines in await self._on_the_page(*_SAID_ON):
            sure = {(line["network"], line["sure"]) for line in lines}
            assert sure == {("matrix", "verified"), ("radio", "not verified"), ("page", "not verified")}
            there = [line for line in lines if ", says " in line["text"]]
            assert {(line["name"], line["network"]) for line in there} == set(_SAID_ON.items())
            self._is_all([(line["name"], line["text"]) for line in there])
        seen = [one for one in triangle.matrix.watcher.seen if ", says " in one.text]
        baker = triangle.matrix.baker.user_id
        self._is_all([("Baker" if one.sender == baker else one.name, one.text) for one in seen])
        heard = [one for one in triangle.all_heard() if ", says " in one.text]
        ours = triangle.radio.gateway
        self._is_all([tuple(one.text.split(": ", 1)) if one.sender == ours else (NEAR, one.text) for one in heard])

    async def _on_the_page(self, *people: str) -> list[list[dict[str, Any]]]:
        """Wait until what these said is at both tabs; return what is there."""
        texts = {text for who, text in self.said if who in people}
        return [await tab.all(lambda lines: texts <= {line["text"] for line in lines}) for tab in (self.ali, self.bo)]

    async def _on_the_air(self, *people: str) -> None:
        for who, text in self.said:
            if who in people:
                await self.triangle.heard(text if who == NEAR else f"{who}: {text}")

    def _is_all(self, there: list[Any]) -> None:
        assert sorted(there) == sorted(self.said)
        for who in _SAID_ON:
            assert [text for name, text in there if name == who] == [text for by, text in self.said if by == who]


class Relations:
    """Answers, signs and corrections from each network to each other, about what was said before."""

    def __init__(self, talk: Conversation) -> None:
        self.talk, self.triangle = talk, talk.triangle
        self.room = talk.triangle.matrix

    async def make(self) -> None:
        radio, baker = self.triangle.radio, self.room.baker
        mine = (await self.room.seen("before 0, says ali")).event_id
        self.bread = (await self.room.seen("Who has bread?")).event_id
        self.square = (await self.room.seen("before 0, says market square")).event_id
        heard = await self.triangle.heard("ali: before 0, says ali")
        await self.talk.ali.reply("before 0, says market square", "ali to the square")
        await self.talk.ali.react("Who has bread?", "👍")
        await radio.say(NEAR, "the square to ali", reply_to=heard.id)
        await baker.say("the baker to ali", mine)
        relation = {"rel_type": "m.annotation", "event_id": self.square, "key": "🎪"}
        await baker.send("m.reaction", {"m.relates_to": relation})
        new = {"msgtype": "m.text", "body": "Who has good bread?"}
        relation = {"rel_type": "m.replace", "event_id": self.bread}
        await baker.send("m.room.message", {**new, "m.new_content": new, "m.relates_to": relation})
        self.mine, self.heard = mine, heard.id

    async def are_on_the_lan(self) -> None:
        """They cross between page and radio while the rest waits."""
        said = await self.triangle.heard("before 0, says market square")
        assert (await self.triangle.heard("ali: ali to the square")).reply_id == said.id
        answer = await self.talk.ali.said("the square to ali")
        assert answer["quote"] == "ali: before 0, says ali"
        assert (await self.talk.bo.said("ali to the square"))["quote"] == f"{NEAR}: before 0, says market square"

    async def are_everywhere(self) -> None:
        assert (await self.room.seen("ali to the square")).reply_to == self.square
        assert (await self.room.seen("the square to ali")).reply_to == self.mine
        sign = await self.room.event(lambda event: _relation(event).get("key") == "👍")
        assert (_relation(sign)["event_id"], sign["sender"]) == (self.bread, self.room.gateway)
        assert (await self.triangle.heard("Baker: the baker to ali")).reply_id == self.heard
        square = await self.triangle.heard("before 0, says market square")
        assert (await self.triangle.heard("🎪")).reply_id == square.id
        await self.triangle.heard("Baker: *corrected: Who has good bread?")
        for tab in (self.talk.ali, self.talk.bo):
            assert (await tab.said("the baker to ali"))["quote"] == "ali: before 0, says ali"
            await tab.line(lambda line: line["text"] == "before 0, says market square" and line["marks"] == ["🎪 1"])
            await tab.line(lambda line: line["text"] == "Who has good bread?" and line["marks"] == ["👍 1"])


def _relation(event: dict[str, Any]) -> dict[str, Any]:
    return dict(event["content"].get("m.relates_to", {}))


async def is_told_truly(talk: Conversation, texts: Sequence[str], *, in_matrix: frozenset[State]) -> None:
    """The page, and `crossband messages` where Matrix and the radio are, say how far lines of the page's are."""
    triangle, away = talk.triangle, f"home/{talk.triangle.matrix.alias}"
    for tab in (talk.ali, talk.bo):
        for text in texts:
            shown = await tab.line(lambda line, text=text: line["text"] == text and _told(line, away) in in_matrix)
            assert re.search(r"radio/LongFast \(hilltop\): (sent|heard)", shown["state"])
    at_harbour, at_hilltop = await asyncio.gather(messages(triangle.harbour), messages(triangle.hilltop))
    for text in texts:
        (there,) = at_harbour[text]["deliveries"]
        assert there["to"] == away
        assert there["state"] in in_matrix
        assert [one["state"] for one in at_hilltop[text]["deliveries"]] in (["sent"], ["heard"])


def _told(line: dict[str, Any], address: str) -> str:
    """Return the state that a line at the page tells of its way to an address; empty: none."""
    found = re.search(rf"{re.escape(address)} \(harbour\): (\w+)", line["state"])
    return found[1] if found else ""


async def play(talk: Conversation, *, rounds: int = 1, away_s: float = 0.0) -> None:
    """Talk before, while and after the internet is away and the box with Matrix dies; all is true at every time."""
    triangle, related, away = talk.triangle, Relations(talk), []
    await triangle.matrix.baker.say("Who has bread?")
    await talk.ali.said("Who has bread?")
    for n in range(rounds):
        await talk.round(f"before {n}")
    await talk.everywhere()

    triangle.internet.cut()
    since_s = time.monotonic()
    for n in range(rounds):
        away += await talk.round(f"cut {n}")
    await talk.on_the_lan()
    await triangle.harbour.box.kill9()
    away += await talk.round("killed")
    await triangle.harbour.box.start(until="ready")
    await related.make()
    for n in range(rounds):
        away += await talk.round(f"back {n}")
    await talk.on_the_lan()
    await related.are_on_the_lan()
    await is_told_truly(talk, away, in_matrix=frozenset(PENDING))
    await asyncio.sleep(max(0.0, since_s + away_s - time.monotonic()))

    triangle.internet.join()
    for n in range(rounds):
        away += await talk.round(f"after {n}")
    await talk.everywhere()
    await related.are_everywhere()
    await is_told_truly(talk, away, in_matrix=frozenset({State.SENT}))


async def test_all_crosses_once_and_in_order_while_the_internet_goes_and_its_box_dies(matrix: Matrix) -> None:
    chromium_or_skip()
    async with build_triangle(matrix) as triangle, tabs(triangle.valley.page) as (ali, bo):
        await play(Conversation(triangle, ali, bo))


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_what_was_said_while_the_internet_was_away_for_minutes_has_its_own_time_in_the_room(
    matrix: Matrix,
) -> None:
    chromium_or_skip()
    async with build_triangle(matrix) as triangle, tabs(triangle.valley.page) as (ali, bo):
        talk = Conversation(triangle, ali, bo)
        await play(talk, rounds=2, away_s=LATE_S + 60)  # no more than a page shows at once
        for seen in matrix.watcher.seen:
            if seen.sender != matrix.gateway or ", says " not in seen.text:
                continue
            words = seen.text.partition(",")[0]
            if words.startswith(("before", "after")):
                assert seen.said_ms is None
            elif words == "killed":  # what was cut on its way may go on as it was
                assert seen.said_ms is not None
            if seen.said_ms is not None:
                assert 0 <= seen.said_ms / 1000 - talk.began_s[words] < SOON_S
