# SPDX-License-Identifier: GPL-3.0-or-later
"""Real gateways with a LAN bridge: a page and a radio at one box, and at two that one invitation joins."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bridges.sim.airwaves import Airwaves
from bridges.sim.control import SimProcess
from bridges.sim.town import TIME_SCALE
from tests.e2e.lan_process import WITHIN_S, LanProcess

NEAR, LISTENER = "Market square", "River lock"


@pytest.fixture
def folder() -> AsyncIterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="cb-"))  # a short path: it holds sockets
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
async def mesh(folder: Path) -> AsyncIterator[SimProcess]:
    async with SimProcess(folder / "mesh", time_scale=TIME_SCALE) as running:
        yield running


def heard(radio: Airwaves, text: str) -> int:
    return sum(one.text == text for one in radio.heard if one.node == LISTENER)


async def test_a_line_at_the_page_goes_out_by_the_radio_and_its_answer_is_on_the_page(
    folder: Path, mesh: SimProcess
) -> None:
    gateway = LanProcess(
        folder / "one", "hilltop", radio=mesh.port, permissions='"~*@hilltop" = "transmit"\n"!*" = "transmit"'
    )
    async with Airwaves(mesh.directory) as radio, gateway.box, gateway.person("ali") as ali:
        await ali.say("anybody on the hill?")
        asked = await radio.wait_text("ali: anybody on the hill?", node=LISTENER, timeout_s=WITHIN_S)
        await radio.say(NEAR, "yes, at the square", reply_to=asked.id)
        lines = await ali.wait("yes, at the square")
        assert lines.count("yes, at the square") == 1
        assert NEAR in lines
        assert heard(radio, "ali: anybody on the hill?") == 1


async def test_a_box_with_a_page_speaks_by_the_radio_of_the_box_it_joined_once_and_through_a_kill(
    folder: Path, mesh: SimProcess
) -> None:
    harbour = LanProcess(folder / "a", "harbour", syncs=True)
    hilltop = LanProcess(
        folder / "b",
        "hilltop",
        radio=mesh.port,
        syncs=True,
        permissions='"~*@harbour" = "transmit"\n"!*" = "transmit"',
    )
    async with Airwaves(mesh.directory) as radio, harbour.box, hilltop.box:
        await hilltop.let_in(harbour)
        assert "hilltop" in await harbour.command("lan", "peers")

        async with harbour.person("ali") as ali:
            await ali.say("anybody on the hill?")
            asked = await radio.wait_text("ali: anybody on the hill?", node=LISTENER, timeout_s=WITHIN_S)
            await radio.say(NEAR, "yes, at the square", reply_to=asked.id)
            await ali.wait("yes, at the square")
            await ali.wait(lambda lines: re.search(r"radio/LongFast \(\w+\): (sent|heard)", lines) is not None)

            await hilltop.box.kill9()
            await ali.say("are you gone?")
            await hilltop.box.start()
            await radio.wait_text("ali: are you gone?", node=LISTENER, timeout_s=WITHIN_S)
            await radio.say(NEAR, "back again")
            lines = await ali.wait("back again")
        for text in ("yes, at the square", "back again"):
            assert lines.count(text) == 1
        for text in ("ali: anybody on the hill?", "ali: are you gone?"):
            assert heard(radio, text) == 1


async def test_somebody_at_a_page_and_somebody_at_the_radio_of_another_box_talk_alone(
    folder: Path, mesh: SimProcess
) -> None:
    harbour = LanProcess(folder / "a", "harbour", syncs=True)
    may = '"~ali@harbour" = "transmit"\n"~*" = "read"\n"!*" = "read"'
    hilltop = LanProcess(folder / "b", "hilltop", radio=mesh.port, syncs=True, permissions=may)
    async with Airwaves(mesh.directory) as radio, harbour.box, hilltop.box:
        await hilltop.let_in(harbour)
        async with harbour.person("ali") as ali, harbour.person("bo") as bo:
            await radio.say(NEAR, "Stalls are up")
            await ali.wait("Stalls are up")
            await ali.say(f"/msg {NEAR} only you: is there bread?")
            asked = await radio.wait_text("ali: only you: is there bread?", node=NEAR, timeout_s=WITHIN_S)
            await ali.open("~ali@harbour")
            await ali.wait(lambda lines: f"radio/!{radio.nodes[NEAR]:08x} (hilltop): delivered" in lines)
            await radio.say(NEAR, "yes, at the back door", to=radio.gateway, reply_to=asked.id)
            answer = await ali.wait("yes, at the back door")
            await radio.say(NEAR, "knock twice", to=radio.gateway)
            await ali.wait("knock twice")

            await bo.say(f"/msg {NEAR} and me?")
            await bo.open("~bo@harbour")
            await bo.wait("the sender has no permission here")
            others = await bo.lines()
            await bo.open("town")
            in_town = await bo.lines()
        assert NEAR in answer
        for secret in ("is there bread?", "back door", "knock twice"):
            assert secret not in others + in_town
        assert heard(radio, "ali: only you: is there bread?") == 0
        assert not any("and me?" in one.text for one in radio.heard)


async def test_a_third_box_with_nothing_but_the_lan_is_a_page_for_its_own_people_and_all_others(
    folder: Path, mesh: SimProcess
) -> None:
    anyone = '"~*" = "transmit"\n"!*" = "transmit"'
    hilltop = LanProcess(folder / "a", "hilltop", radio=mesh.port, syncs=True, permissions=anyone)
    valley = LanProcess(folder / "b", "valley", syncs=True)
    assert "ok (bridges: 1, routes: 1)" in await valley.command("check")
    async with Airwaves(mesh.directory) as radio, valley.box, valley.person("ali") as ali, valley.person("bo") as bo:
        await ali.say("only us two")
        await bo.wait("only us two")
        (said,) = json.loads(await valley.command("messages", "-o", "json"))
        assert said["deliveries"] == []
        assert "only us two" in await valley.command("messages", "show", said["id"])
        assert re.search(r"town +lan/town +other boxes", await valley.command("routes"))
        assert "lan/town" in await valley.command("route", "test", "town")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{valley.box.port}") as console:
            assert "<td>other boxes</td>" in (await console.get("/")).text

        async with hilltop.box:
            await hilltop.let_in(valley)
            await ali.say("anybody on the hill?")
            asked = await radio.wait_text("ali: anybody on the hill?", node=LISTENER, timeout_s=WITHIN_S)
            await radio.say(NEAR, "yes, at the square", reply_to=asked.id)
            lines = await bo.wait("yes, at the square")
            await ali.wait(lambda lines: re.search(r"radio/LongFast \(hilltop\): (sent|heard)", lines) is not None)
            for text in ("only us two", "anybody on the hill?", "yes, at the square"):
                assert lines.count(text) == (2 if text == "anybody on the hill?" else 1), lines


async def test_of_two_boxes_with_radios_on_one_channel_one_says_a_line_and_the_echo_is_no_news(
    folder: Path,
) -> None:
    async with SimProcess(folder / "mesh", time_scale=TIME_SCALE, also="RDGE") as mesh:
        anyone = '"~*" = "transmit"\n"!*" = "transmit"'
        harbour = LanProcess(folder / "a", "harbour", radio=mesh.port, syncs=True, permissions=anyone)
        ridge = mesh.directory / "radio-RDGE"
        hilltop = LanProcess(folder / "b", "hilltop", radio=ridge, syncs=True, permissions=anyone)
        async with Airwaves(mesh.directory) as radio, harbour.box, hilltop.box:
            await hilltop.let_in(harbour)

            async with harbour.person("ali") as ali, hilltop.person("bo") as bo:
                await both_serve(harbour)
                await ali.say("one of us says this")
                await radio.wait_text("ali: one of us says this", node=LISTENER, timeout_s=WITHIN_S)
                await radio.say(NEAR, "heard by both")
                for somebody in (ali, bo):
                    await somebody.wait("heard by both")
                await bo.say("and this")
                await radio.wait_text("bo: and this", node=LISTENER, timeout_s=WITHIN_S)
                lines = [await ali.wait("and this"), await bo.wait("one of us says this")]
            for text in ("one of us says this", "heard by both", "and this"):
                assert [page.count(text) for page in lines] == [1, 1], text
            for text in ("ali: one of us says this", "bo: and this"):
                assert heard(radio, text) == 1


async def both_serve(box: LanProcess) -> None:
    """Wait until both boxes tell that they serve the channel."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            members = json.loads(await box.command("lan", "peers", "-o", "json"))["members"]
            if len(members) == 2 and members[0]["serves"] and members[0]["serves"] == members[1]["serves"]:
                return
            await asyncio.sleep(0.2)
