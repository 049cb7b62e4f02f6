# SPDX-License-Identifier: GPL-3.0-or-later
"""A line that is bad in one way at a time: what is not lost on it is used. In all ways at once: `tests/soak`."""

from __future__ import annotations

import asyncio

import pytest

from bridges.sim import Settings
from bridges.sim.identity import BROADCAST
from bridges.sim.packets import packet_of, text_data
from gateway.model import Message, TransientError
from tests.contract.harness_meshtastic import LONG_FAST, air, bridge_on, said, take

RIDGE = 0xA1B2C301
QUICK = 200.0


async def sent(bridge, body):
    """Send it as the core does: again, under the same key, where it is not sure."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await bridge.send(said(body), LONG_FAST, key=body)
            except TransientError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "fault",
    [
        {"duplicate_frame": 1.0},
        {"stall_frame": 0.5, "stall_s": 0.05},
        {"delay_s": 0.05},
        {"bytes_per_s": 20_000.0},
        {"lose_byte_in": 0.01},
    ],
    ids=lambda fault: next(iter(fault)),
)
async def test_a_line_that_only_repeats_or_delays_loses_nothing_and_ours_go_out(tmp_path, fault):
    async with air(tmp_path, seed=1) as network, bridge_on(network, tmp_path) as bridge:
        for name, value in fault.items():
            setattr(network.port.faults, name, value)
        for number in range(20):
            packet = packet_of(text_data(f"text {number}"), sender=RIDGE, to=BROADCAST, id=number + 1)
            network.mesh.inject(packet)
        copies = 2 if "duplicate_frame" in fault else 1
        came = [item for item in await take(bridge, 20 * copies) if isinstance(item, Message)]
        await sent(bridge, "ours")

        assert list(dict.fromkeys(item.content.body for item in came)) == [f"text {number}" for number in range(20)]
        # A copy is known by its name, whoever stores it.
        assert len({item.native_id for item in came}) == 20
        await network.mesh["RDGE"].wait_text("ours")


async def test_a_node_that_hangs_up_on_silent_clients_keeps_a_bridge_that_has_nothing_to_say(tmp_path):
    settings = Settings(silent_client_s=400.0)
    async with (
        air(tmp_path, scale=QUICK, settings=settings, seed=1) as network,
        bridge_on(network, tmp_path, scale=QUICK) as bridge,
    ):
        began = network.mesh.now
        while network.mesh.now - began < 1000.0:
            await asyncio.sleep(0.05)
        network.mesh["RDGE"].say("still there?")
        (message,) = await take(bridge, 1)

        assert message.content.body == "still there?"
        assert network.port.firmware.counts["silent_client"] == 0


async def test_what_the_firmware_has_to_say_to_people_is_shown(tmp_path):
    async with air(tmp_path, seed=1) as network, bridge_on(network, tmp_path) as bridge:
        network.port.firmware.notify("the battery is low", network.mesh.now)
        async with asyncio.timeout(10):
            while bridge.describe().get("notice") != "the battery is low":
                await asyncio.sleep(0.01)
