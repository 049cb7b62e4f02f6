# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated mesh as the official client sees it, which knows nothing of Crossband."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from bridges.sim import SimProcess

LISTENER = """
import json, sys, threading
from pubsub import pub
from meshtastic.serial_interface import SerialInterface

done = threading.Event()

def on_text(packet, interface):
    data = packet["decoded"]
    print(json.dumps({"from": packet["fromId"], "id": packet["id"], "text": data["text"]}), flush=True)
    interface.sendText("heard: " + data["text"], replyId=packet["id"])
    done.set()

pub.subscribe(on_text, "meshtastic.receive.text")
interface = SerialInterface(sys.argv[1])
print(json.dumps({"own": interface.myInfo.my_node_num}), flush=True)
done.wait(30)
interface.close()
"""


@pytest.fixture
async def sim(tmp_path):
    async with SimProcess(tmp_path, tcp=0, time_scale=5, seed=1) as sim:
        yield sim


async def run_client(*arguments):
    """Run the official command line; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "meshtastic", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(40):
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


def line_of(sim, kind):
    return ("--port", str(sim.port)) if kind == "serial" else ("--host", f"127.0.0.1:{sim.tcp}")


@pytest.mark.parametrize("kind", ["serial", "tcp"])
async def test_it_lists_the_nodes(sim, kind):
    printed = await run_client(*line_of(sim, kind), "--nodes")

    for name in ("Hilltop gateway", "Ridge relay", "Market square", "River lock", "!a1b2c303"):
        assert name in printed


async def test_it_shows_the_radio_and_its_channels(sim):
    printed = await run_client(*line_of(sim, "serial"), "--info")

    assert "Hilltop gateway" in printed
    assert '"name": "Town"' in printed
    assert "2.7.26" in printed


@pytest.mark.parametrize("kind", ["serial", "tcp"])
async def test_a_text_it_sends_is_heard_at_a_far_node_and_acknowledged_to_it(sim, kind):
    printed = await run_client(*line_of(sim, kind), "--sendtext", "from the official client", "--ack")

    heard = await sim.wait_text("River lock", "from the official client")
    assert heard["sender"] == 0xA1B2C300
    assert "implicit ACK" in printed


async def test_a_direct_text_it_sends_is_acknowledged_by_its_destination(sim):
    arguments = ("--sendtext", "just for you", "--dest", "!a1b2c302", "--ack")
    printed = await run_client(*line_of(sim, "serial"), *arguments)

    assert (await sim.wait_text("Market square", "just for you"))["direct"]
    assert "Received an ACK" in printed
    assert await sim.heard("River lock") == []


@pytest.mark.parametrize("kind", ["serial", "tcp"])
async def test_it_receives_what_far_nodes_say(sim, kind):
    arguments = ("-u", "-m", "meshtastic", *line_of(sim, kind), "--listen")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(40):
            await printed_by(process, "Connected to radio")
            await sim.say("Ridge relay", "is anybody listening?")
            line = await printed_by(process, "meshtastic.receive.text")
    finally:
        # It listens for ever.
        process.kill()
        await process.communicate()

    assert "'text': 'is anybody listening?'" in line
    assert "'fromId': '!a1b2c301'" in line


async def printed_by(process, words):
    """Return the first line it prints with these words."""
    while line := await process.stdout.readline():
        if words in line.decode():
            return line.decode()
    raise AssertionError(f"it ended without a word of {words!r}")


async def test_a_text_on_the_second_channel_arrives_there(sim):
    await run_client(*line_of(sim, "serial"), "--ch-index", "1", "--sendtext", "to the town")

    assert (await sim.wait_text("Ridge relay", "to the town"))["channel"] == 1


async def test_a_text_from_a_far_node_reaches_it_and_its_reply_keeps_its_target(sim):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LISTENER, str(sim.port), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(40):
            assert json.loads(await process.stdout.readline()) == {"own": 0xA1B2C300}
            packet = await sim.say("Ridge relay", "is anybody there?")
            received = json.loads(await process.stdout.readline())
            answer = await sim.wait_text("Market square", "heard: is anybody there?")
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()

    assert received == {"from": "!a1b2c301", "id": packet, "text": "is anybody there?"}
    assert answer["reply_id"] == packet
