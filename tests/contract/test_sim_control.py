# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator in a process of its own, and what can be asked of it."""

from __future__ import annotations

import asyncio
import json

import pytest
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.sim import RemoteMesh, SimProcess
from bridges.sim.control import RefusedError


@pytest.fixture
async def sim(tmp_path):
    async with SimProcess(tmp_path, tcp=0, time_scale=20, seed=1) as sim:
        yield sim


async def test_it_says_and_hears_and_the_packet_is_the_same(sim):
    packet = await sim.say("RDGE", "through the control socket", channel=1, reply_id=77)
    heard = await sim.wait_text("MRKT", "through the control socket")

    assert (heard["id"], heard["channel"], heard["reply_id"]) == (packet, 1, 77)
    assert await sim.heard("MRKT") == [heard]
    assert await sim.heard("MRKT", after=heard["seq"]) == []


async def test_it_unplugs_and_plugs(sim):
    await sim.call("unplug")
    assert not sim.port.is_symlink()
    assert (await sim.call("status"))["serial_plugged"] is False

    await sim.call("plug")
    assert sim.port.is_symlink()


async def test_it_makes_trouble_at_several_ports(tmp_path):
    async with SimProcess(tmp_path, tcp=0, also="RDGE", time_scale=20, seed=1) as sim:
        other = tmp_path / "radio-RDGE"
        before = (sim.port.readlink(), other.readlink())
        await sim.call("swap", one="pty", other="RDGE")
        assert (sim.port.is_symlink(), other.is_symlink()) == (True, True)
        await sim.call("hang", how="deaf", port="RDGE")
        await sim.call("lose_peer")
        await sim.call("power_cycle", port="RDGE")
        assert not sim.port.is_symlink()
        with pytest.raises(RefusedError, match="MRKT"):
            await sim.call("unplug", port="MRKT")

    assert all(str(path).startswith("/dev/") for path in before)


async def test_a_restart_tells_what_was_lost_with_the_nodes_memory(sim):
    number = (await sim.call("nodes"))[0]["number"]
    await sim.say("Ridge relay", "nobody fetches this", to=number)
    async with asyncio.timeout(10):
        while not (await sim.call("status"))["buffered"]:
            await asyncio.sleep(0.05)

    assert await sim.call("reboot") == {"unsent": 0, "unfetched": 1}
    assert (await sim.call("status"))["buffered"] == 0


async def test_a_node_forgets_a_key_until_it_is_told_it_again(sim):
    one, other = (node["number"] for node in (await sim.call("nodes"))[1:3])
    await sim.call("forget", node=other, other=one)
    first = await sim.say("RDGE", "for you alone", to=other)
    async with asyncio.timeout(10):
        while [other, 35] not in await sim.call("outcome", node="RDGE", id=first):
            await asyncio.sleep(0.05)
    await sim.call("introduce", node="RDGE")
    await sim.say("RDGE", "now you know me", to=other)
    await sim.wait_text("MRKT", "now you know me")

    assert "for you alone" not in [heard["text"] for heard in await sim.heard("MRKT")]


async def test_a_watcher_is_told_what_every_node_hears(sim):
    events = sim.watch()
    first = asyncio.ensure_future(anext(events))
    while not first.done():
        await sim.say("RDGE", "live")
        await asyncio.wait([first], timeout=0.5)

    event = first.result()
    assert event["text"] == "live"
    assert event["node"] in ("Hilltop gateway", "Market square", "River lock")
    await events.aclose()


async def test_devices_say_what_they_are_told_to(sim):
    orders = {
        PortNum.DETECTION_SENSOR_APP: {"do": "detect", "name": "Door", "state": True},
        PortNum.ALERT_APP: {"do": "alert"},
        PortNum.TELEMETRY_APP: {"do": "measure", "figures": {"temperature": 21.5}},
        PortNum.RANGE_TEST_APP: {"do": "range_test", "number": 7},
        PortNum.WAYPOINT_APP: {"do": "waypoint", "name": "hut", "latitude": 47.0, "longitude": 8.0, "icon": "x"},
    }
    packets = {port: await sim.call(node="RDGE", **order) for port, order in orders.items()}
    await sim.say("RDGE", "after")
    await sim.wait_text("MRKT", "after")

    heard = {one["id"]: one for one in await sim.heard("MRKT")}
    assert {port: heard[packet]["portnum"] for port, packet in packets.items()} == {port: port for port in orders}
    texts = [heard[packets[port]]["text"] for port in (PortNum.DETECTION_SENSOR_APP, PortNum.RANGE_TEST_APP)]
    assert texts == ["Door state: 1", "seq 7"]
    for order in ({"do": "replay", "via_mqtt": True}, {"do": "store_and_forward"}):
        await sim.call(node="RDGE", id=packets[PortNum.ALERT_APP], **order)


@pytest.mark.parametrize(
    "order",
    [
        {"do": "dance"},
        {"do": "store_and_forward", "node": "RDGE", "id": 4},
        {"do": "measure", "node": "RDGE", "figures": {"smell": 1}},
        {"do": "say", "node": "nobody", "text": "x"},
        {"do": "say", "node": "RDGE"},
        {"do": "say", "node": "RDGE", "text": 5},
        {"do": "noise", "hex": "zz"},
        {"do": "wait_text", "node": "RDGE", "text": "never", "timeout_s": 0.01},
        {"do": "replay", "node": "RDGE", "id": 4},
        {"do": "faults", "delay_s": "long"},
        {"do": "link", "one": "RDGE", "other": "MRKT", "loss": None},
    ],
)
async def test_a_bad_order_is_refused_and_the_next_one_done(sim, order):
    with pytest.raises(RefusedError):
        await sim.call(**order)

    assert len(await sim.call("nodes")) == 4


async def test_lines_that_are_no_orders_are_answered(sim):
    reader, writer = await asyncio.open_unix_connection(sim.directory / "control.sock")
    for line in (b"not json\n", b"[]\n", b'"say"\n'):
        writer.write(line)
        assert "error" in json.loads(await reader.readline())
    writer.close()


async def test_faults_are_set_and_told(sim):
    faults = await sim.call("faults", delay_s=0.5, lose_frame=0.1)

    assert (faults["delay_s"], faults["lose_frame"], faults["bytes_per_s"]) == (0.5, 0.1, 0.0)


async def test_a_simulator_that_is_gone_is_a_lost_connection(tmp_path):
    async with SimProcess(tmp_path, seed=1) as sim:
        path = sim.directory / "control.sock"
        assert sim.tcp is None

    assert not path.exists()
    assert not sim.port.is_symlink()
    with pytest.raises(OSError, match="No such file"):
        await RemoteMesh(path).call("nodes")
