# SPDX-License-Identifier: GPL-3.0-or-later
"""Replays and echoes through the assembled core, with a radio on a simulated mesh: nothing shows twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridges.meshtastic import kind
from gateway.journal import Journal, MessageRecord
from gateway.model import (
    Address,
    BridgeName,
    Location,
    Redaction,
    Topic,
    words_of,
)
from tests.contract.assembled import assembled, quiet
from tests.contract.harness_meshtastic import Air, ScaledClock, air

CONFIG = """
[gateway]
name = "hilltop"
data_dir = "data"
[bridges.home]
kind = "quiet"
[bridges.radio]
kind = "meshtastic"
connection = "{connection}"
positions = "on"
[[routes]]
name = "town"
join = ["home/#town", "radio/LongFast"]
"""
RADIO, TOWN = BridgeName("radio"), Address(BridgeName("home"), "#town")


@asynccontextmanager
async def gateway(network: Air, folder: Path) -> AsyncIterator[Journal]:
    """A gateway put together as always, whose radio is received from."""
    config = CONFIG.format(connection=network.connection)
    async with assembled(folder, config, {"quiet": quiet(), "meshtastic": kind}, ScaledClock()) as core:
        task = asyncio.create_task(core.parts.by_bridge[RADIO].supervisor.run())
        try:
            await network.port.wait_client()
            yield core.assembly.journal
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until_said(journal: Journal, body: str) -> list[str]:
    """Wait until these words are journalled; return all that is, in order."""
    async with asyncio.timeout(15):
        while body not in (said := [_words(one) for one in await _all(journal)]):
            await asyncio.sleep(0.02)
    return said


async def _all(journal: Journal) -> list[MessageRecord]:
    found = list(await journal.messages(after=0, limit=100))
    return sorted(found, key=lambda one: one.seq)


def _words(record: MessageRecord) -> str:
    return words_of(record.message.content)


async def test_what_was_heard_shows_once_however_it_comes_again_and_after_a_restart(tmp_path: Path):
    async with air(tmp_path) as network:
        mesh = network.mesh
        async with gateway(network, tmp_path) as journal:
            number = mesh["RDGE"].say("the ford is open")
            await until_said(journal, "the ford is open")
            mesh.store_and_forward("RDGE", number)
            mesh.replay("RDGE", number, via_mqtt=True)
            mesh.replay("RDGE", number)
            mesh["RDGE"].say("one")
            assert await until_said(journal, "one") == ["the ford is open", "one"]
        async with gateway(network, tmp_path) as journal:
            mesh.store_and_forward("RDGE", number)
            mesh.replay("RDGE", number, via_mqtt=True)
            mesh["RDGE"].say("two")
            assert await until_said(journal, "two") == ["the ford is open", "one", "two"]
            assert [len(one.deliveries) for one in await _all(journal)] == [1, 1, 1]


async def test_what_was_said_before_the_gateway_ran_shows_once_and_says_that_it_is_late(tmp_path: Path):
    async with air(tmp_path) as network:
        mesh = network.mesh
        number = mesh["RDGE"].say("the bridge is out")
        await mesh["MRKT"].wait_text("the bridge is out")
        network.port.reboot()  # its node forgets what it kept for a client
        async with gateway(network, tmp_path) as journal:
            await until_up(network)
            for _ in range(3):
                mesh.store_and_forward("RDGE", number)
            mesh.replay("RDGE", number, via_mqtt=True)
            mesh["RDGE"].say("after")
            assert await until_said(journal, "after") == ["the bridge is out (said earlier)", "after"]


async def test_a_waypoint_that_is_deleted_takes_back_what_went_where_it_went(tmp_path: Path):
    async with air(tmp_path) as network:
        place = network.mesh["RDGE"].place
        async with gateway(network, tmp_path) as journal:
            place.put_waypoint("hut", 47.0, 8.0)
            place.put_waypoint("hut", 47.0, 8.0, expire=1)
            network.mesh["RDGE"].say("after")
            await until_said(journal, "after")
            put, deleted, _ = await _all(journal)
            assert isinstance(deleted.message.content, Redaction)
            target = await journal.find(deleted.message.origin, deleted.message.content.target)

    assert isinstance(put.message.content, Location)
    assert [put.message.topic, deleted.message.topic] == [Topic.WAYPOINT] * 2
    assert target is not None
    assert target.bound_for == (TOWN,) == tuple(one.to for one in deleted.deliveries)


async def until_up(network: Air) -> None:
    async with asyncio.timeout(15):
        while not network.port.firmware.has_client:
            await asyncio.sleep(0.02)
