# SPDX-License-Identifier: GPL-3.0-or-later
"""People at a box's page and people at radios hear each other, through restarts and a kill -9, each thing once."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridges.sim.airwaves import Airwaves
from bridges.sim.control import SimProcess
from bridges.sim.town import TIME_SCALE
from tests.e2e.lan_gateway import CONFIG, WITHIN_S, LanGateway

NEAR, LISTENER = "Market square", "River lock"


class Hill:
    """A radio mesh, and the folder of a gateway at it."""

    def __init__(self, radio: Airwaves, config: Path) -> None:
        self.radio = radio
        self.config = config

    def gateway(self) -> LanGateway:
        return LanGateway(self.config)

    def heard(self, text: str) -> int:
        return sum(one.text == text for one in self.radio.heard if one.node == LISTENER)

    async def kill_9(self, hop: str, text: str) -> None:
        """Have a gateway killed at a hop, after somebody said this at its page."""
        root = Path(__file__).parents[2]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.e2e.lan_gateway", str(self.config), hop, text, cwd=root
        )
        async with asyncio.timeout(WITHIN_S):
            assert await child.wait() == -9


@pytest.fixture
async def hill() -> AsyncIterator[Hill]:
    folder = Path(tempfile.mkdtemp(prefix="cb-"))  # a short path: it holds sockets
    try:
        async with SimProcess(folder / "mesh", time_scale=TIME_SCALE) as mesh, Airwaves(mesh.directory) as radio:
            config = folder / "crossband.toml"
            config.write_text(CONFIG.format(port=mesh.port))
            yield Hill(radio, config)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_the_page_and_a_radio_hear_each_other_with_replies_and_states_through_a_restart(hill: Hill) -> None:
    async with hill.gateway().running() as gateway:
        mine = await gateway.say("anybody on the hill?")
        heard = await hill.radio.wait_text("ali: anybody on the hill?", node=LISTENER, timeout_s=WITHIN_S)
        shown = await gateway.line(lambda line: line.id == mine.id and "radio/LongFast: " in line.state)
        assert shown.state.removeprefix("radio/LongFast: ") in {"sent", "heard", "sending", "queued"}
        await gateway.line(lambda line: line.state in {"radio/LongFast: sent", "radio/LongFast: heard"})

        await hill.radio.say(NEAR, "yes, at the square", reply_to=heard.id)
        answer = await gateway.line(lambda line: line.text == "yes, at the square")
        assert (answer.reply_to, answer.network, answer.name) == (mine.id, "radio", NEAR)
        cost = gateway.lan.hall.cost(gateway.join("ali"), "town", "coming")
        assert cost.packets == 1
        assert cost.airtime_ms > 0
        assert list(cost.reaches) == ["radio/LongFast"]
        assert [list(room.members) for room in gateway.lan.hall.rooms()] == [["radio/LongFast"]]

    async with hill.gateway().running() as gateway:
        before = await gateway.line(lambda line: line.id == mine.id)
        assert before.state in {"radio/LongFast: sent", "radio/LongFast: heard"}
        await gateway.say("coming", reply_to=answer.id)
        reply = await hill.radio.wait_text("ali: coming", node=LISTENER, timeout_s=WITHIN_S)
        assert reply.reply_id
        await hill.radio.say(NEAR, "good")
        await gateway.line(lambda line: line.text == "good")
        texts = [line.text for line in await gateway.lines()]
    assert texts == ["anybody on the hill?", "yes, at the square", "coming", "good"]
    assert hill.heard("ali: anybody on the hill?") == hill.heard("ali: coming") == 1


@pytest.mark.parametrize("hop", ["logged", "stored"])
async def test_a_line_of_a_box_that_is_killed_is_said_on_radio_once(hill: Hill, hop: str) -> None:
    await hill.kill_9(hop, "just before")
    async with hill.gateway().running() as gateway:
        await hill.radio.wait_text("ali: just before", node=LISTENER, timeout_s=WITHIN_S)
        await gateway.say("and after")
        await hill.radio.wait_text("ali: and after", node=LISTENER, timeout_s=WITHIN_S)
        assert [line.text for line in await gateway.lines()] == ["just before", "and after"]
    assert hill.heard("ali: just before") == 1


async def test_a_line_that_may_not_go_on_radio_says_so_at_once_and_still_after_a_restart(hill: Hill) -> None:
    hill.config.write_text(hill.config.read_text().replace('"~*" = "transmit"\n', ""))
    async with hill.gateway().running() as gateway:
        await gateway.say("does anybody hear me?")
        told = "radio/LongFast: cancelled, the sender may read but not transmit on radio"
        await gateway.line(lambda line: line.state == told)
    async with hill.gateway().running() as gateway:
        await gateway.line(lambda line: line.state == told)
