# SPDX-License-Identifier: GPL-3.0-or-later
"""A LAN that is cut in two, while both sides are at the same room and the same radio channel, and then heals."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bridges.sim.synapse import Synapse
from gateway.model import PENDING
from tests.appservice import registered
from tests.e2e.split import ON_AIR, SAYERS, Split, assert_in_order, assert_once, build_split, messages, page_lines
from tests.e2e.triangle import Matrix, matrix_room
from tests.e2e.world import LISTENER, NEAR

LATE_MS = 120_000
"""What comes to a room so long after it was said says when that was."""
ON_ITS_WAY = 2
"""What a box says as its internet is cut, or as it dies, another may say, too: rather twice than never."""
SHORT = {"ali": 4, "cy": 4, "bo": 2, "dee": 2, "Baker": 6, "Watcher": 2, NEAR: 5, LISTENER: 5}
"""30 lines, twice: while both sides have the internet, and while one has not."""
LONG = {"ali": 210, "cy": 210, "bo": 30, "dee": 30, "Baker": 560, "Watcher": 60, NEAR: 200, LISTENER: 200}
"""1,500, twice."""


@dataclass(frozen=True, kw_only=True)
class Play:
    """How a split goes."""

    counts: dict[str, int]
    talk_s: float
    """How long it takes to say these: twice, as one side's internet is cut in between."""
    kill: bool = False
    """Whether a box that speaks in the room dies as they meet."""


async def play(split: Split, how: Play) -> None:
    """Cut the sides apart, let all talk, cut the internet of one, let all talk, and let them meet."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}, boxes {[box.name for box in split.boxes]}")
    chance = random.Random(seed)
    for who in SAYERS:  # each box has said something, so all know by which accounts boxes speak
        await split.all_say({who: 1})
        await split.healed()
    await split.settled()

    split.link.cut()
    began = time.monotonic()
    await split.all_say(how.counts, how.talk_s, chance)
    split.sides[0].internet.cut()
    await split.all_say(how.counts, how.talk_s, chance)
    apart_s = time.monotonic() - began
    split.link.join()
    if how.kill:
        await asyncio.sleep(chance.uniform(0.2, 1.0))
        await split.sides[1].home.box.kill9()
        await split.sides[1].home.box.start(until="ready")
    split.sides[0].internet.join()
    took_s = await split.healed(how.talk_s + 120)
    await split.settled(how.talk_s + 120)
    print(f"{len(split.said)} lines, apart for {apart_s:.0f} s, all at every page and in the room {took_s:.1f} s later")


async def check(split: Split) -> None:
    """All is everywhere once, in order, and what boxes say of it is true."""
    said = split.texts()
    for box in split.boxes:
        lines = page_lines(box)
        assert_once(lines, said, f"{box.name}'s page")
        assert_in_order(lines, f"{box.name}'s page")
    _check_room(split, said)
    _check_air(split, await _deliveries(split))


def _check_room(split: Split, said: list[str]) -> None:
    seen = split.seen()
    # What one side's radio said and the other heard, which has the room, is there by that radio's name.
    words = [one.text.rpartition(": ")[2] for one in seen]
    assert_once(words, said, "the room", but=ON_ITS_WAY)
    assert_in_order(dict.fromkeys(words), "the room")
    at_ms = {one.text: one.at_s * 1000 for one in split.said}
    for text, one in zip(words, seen, strict=True):
        if one.said_ms is not None:
            assert abs(one.said_ms - at_ms[text]) < LATE_MS / 4, f"{text} was not said then"


def _check_air(split: Split, states: dict[str, Counter[str]]) -> None:
    heard = split.heard()
    words = Counter(one.text.rpartition(": ")[2] for one in heard)
    known = {one.text: one.who for one in split.said}
    assert not {text: count for text, count in words.items() if text in known and count > 1}, "said twice on the air"
    assert not {text for text in words if text in known and known[text] not in ON_AIR}, "said against permissions"
    digests = [one.text for one in heard if one.text.rpartition(": ")[2] not in known]
    wanted = [text for text, who in known.items() if who in ON_AIR]
    folded = [text for text in wanted if not words[text]]
    assert all(states[text]["folded"] or digests for text in folded), "neither said nor told of"
    print(f"on the air: {sum(words[text] for text in wanted)} of {len(wanted)} said, {len(folded)} in {digests}")


async def _deliveries(split: Split) -> dict[str, Counter[str]]:
    """Return in which states what was said ended, on its way to radios; all of it ended, and in no bad way."""
    states: dict[str, Counter[str]] = {text: Counter() for text in split.texts()}
    rooms: Counter[str] = Counter()
    for box in split.boxes:
        for message in await messages(box):
            text = message["text"].rpartition(": ")[2]
            for one in message["deliveries"]:
                assert one["state"] not in {*PENDING, "failed", "expired"}, (box.name, text, one)
                assert one["state"] != "cancelled" or one["reason"].startswith(
                    ("already there", "the sender has no permission")
                ), (box.name, text, one)
                rooms[text] += one["to"].startswith("home/") and one["state"] == "sent"
                if one["to"].startswith("radio/"):
                    states[text][one["state"]] += 1
    wrong = {text: count for text, count in rooms.items() if count > 1}
    assert len(wrong) <= ON_ITS_WAY, f"boxes say that they said these in the room more than once: {wrong}"
    return states


@asynccontextmanager
async def accounts(mode: str, synapse: Synapse, folder: Path) -> AsyncIterator[tuple[Matrix, Matrix]]:
    """One room, as each side's box is at it."""
    async with AsyncExitStack() as stack:
        if mode == "bot":
            matrix = await stack.enter_async_context(matrix_room(synapse))
            account = await synapse.register_user(f"{secrets.token_hex(3)}-valley")
            other = replace(matrix, gateway=account.user_id, token=account.access_token)
        else:
            home = await stack.enter_async_context(registered(folder / "as"))
            login = f'mode = "appservice"\nregistration_file = "{home.file}"\n'
            listen = f'listen = "127.0.0.1:{home.port}"\n'
            names = [f"@crossband{name}:{home.server.server_name}" for name in ("", "-valley")]
            made = matrix_room(home.server, bot=names[0], login=login + listen)
            matrix = await stack.enter_async_context(made)
            other = replace(matrix, gateway=names[1], login=login)
        await matrix.baker.invite(other.gateway)
        yield matrix, other


async def test_two_sides_that_meet_in_a_room_and_on_the_air_say_all_once_while_apart_and_afterwards(
    synapse: Synapse, tmp_path: Path
) -> None:
    async with accounts("bot", synapse, tmp_path) as both, build_split(*both) as split:
        await play(split, Play(counts=SHORT, talk_s=3.0))
        await check(split)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", ["bot", "appservice"])
@pytest.mark.parametrize("alone", [False, True], ids=["two boxes", "one box"])
async def test_fifteen_hundred_lines_on_each_side_are_everywhere_once_though_a_speaker_dies_as_they_meet(
    synapse: Synapse, tmp_path: Path, mode: str, *, alone: bool
) -> None:
    async with accounts(mode, synapse, tmp_path) as both, build_split(*both, alone=alone) as split:
        await play(split, Play(counts=LONG, talk_s=150.0, kill=True))
        await check(split)
