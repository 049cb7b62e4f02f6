# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes of a simulated mesh say besides texts, and what comes again, as the bridge passes it on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.sim import devices
from gateway.model import Lane, Location, Redaction, RemoteId, Text, Topic, words_of
from tests.contract.harness import Reader
from tests.contract.harness_meshtastic import LONG_FAST, MARKET, air, bridge_on


def told(reader: Reader) -> list[tuple[str, str]]:
    return [(message.topic.value, words_of(message.content)) for message in reader.messages]


@pytest.mark.parametrize("tcp", [False, True])
async def test_what_devices_say_is_passed_on_by_topic_and_the_rest_is_counted_by_kind(tmp_path: Path, tcp: bool):
    async with air(tmp_path, tcp=tcp) as network:
        bridge = bridge_on(network, tmp_path, positions="on")
        ridge = network.mesh["RDGE"]
        async with bridge, Reader(bridge) as reader:
            ridge.send(devices.range_test_data(1))
            ridge.send(devices.heartbeat_data())
            ridge.send(devices.detection_data("Motion", bell=True))
            ridge.send(devices.detection_data("Door", state=False))
            ridge.send(devices.detection_data("Door", state=False))
            ridge.send(devices.telemetry_data("environment_metrics", temperature=21.5, relative_humidity=40))
            ridge.send(devices.telemetry_data("device_metrics", battery_level=77))
            ridge.place.tell()
            ridge.place.put_waypoint("ford", 47.01, 8.29, description="knee deep", icon="🌊")
            ridge.send(devices.alert_data(""), want_ack=True)
            ridge.say("after")
            await reader.until(lambda r: len(r.messages) == 7)
            (known,) = [node for node in bridge.nodes() if node.id == "!a1b2c301"]

    assert told(reader) == [
        ("sensors", "Motion detected"),
        ("sensors", "Door state: 0"),
        ("telemetry", "21.5 °C, humidity 40 %"),
        ("positions", "geo 47.07000,8.33000"),
        ("waypoints", "geo 47.01000,8.29000 ford: knee deep 🌊"),
        ("alerts", "(alert)"),
        ("talk", "after"),
    ]
    assert {message.origin for message in reader.messages} == {LONG_FAST}
    assert [message.lane for message in reader.messages if message.topic is Topic.ALERT] == [Lane.EMERGENCY]
    kinds = ("packet_range_test", "packet_store_forward", "sensor_unchanged", "telemetry_of_the_node_itself")
    assert {kind: network.counts[kind] for kind in kinds} == dict.fromkeys(kinds, 1)
    assert known.battery_percent == 77


async def test_a_waypoint_that_is_deleted_takes_back_what_marked_it(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path, positions="on")
        place = network.mesh["RDGE"].place
        async with bridge, Reader(bridge) as reader:
            number = place.put_waypoint("hut", 47.0, 8.0)
            place.put_waypoint("hut", 47.0, 8.0)
            place.put_waypoint("hut", 47.0, 8.0, expire=1)
            place.put_waypoint("hut", 47.0, 8.0, expire=1)
            network.mesh["RDGE"].say("after")
            await reader.until(lambda r: len(r.messages) == 3)

    put, deleted, _ = reader.messages
    assert isinstance(put.content, Location)
    assert put.remote_id == f"{number:08x}"
    assert deleted.content == Redaction(target=RemoteId(f"{number:08x}"))
    assert deleted.topic is Topic.WAYPOINT
    assert network.counts["waypoint_unchanged"] == network.counts["waypoint_over"] == 1


async def test_measurements_are_summed_up_until_the_next_line_is_due(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path, telemetry_every="60s")
        ridge = network.mesh["RDGE"]
        async with bridge, Reader(bridge) as reader:
            for degrees in (20, 25):
                ridge.send(devices.telemetry_data("environment_metrics", temperature=degrees))
            ridge.say("between")
            await reader.until(lambda r: len(r.messages) == 2)
            async with asyncio.timeout(15):
                while len(reader.messages) < 3:
                    ridge.send(devices.telemetry_data("environment_metrics", temperature=22))
                    await asyncio.sleep(0.2)

    assert told(reader) == [("telemetry", "20.0 °C"), ("talk", "between"), ("telemetry", "22.0 °C (20.0 to 25.0)")]
    assert network.counts["telemetry_summed"] >= 1


async def test_measurements_and_reports_of_and_for_others_are_none_of_ours(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        mesh = network.mesh
        own = mesh.gateway.number
        async with bridge, Reader(bridge) as reader:
            warm = devices.telemetry_data("environment_metrics", temperature=20)
            mesh["RDGE"].send(warm, to=own)
            mesh["RDGE"].send(devices.detection_data("Door"), to=own)
            mesh["RDGE"].say("after")
            await reader.until(lambda r: len(r.messages) == 2)

    door, after = reader.messages
    assert (door.direct, door.content, after.direct) == (True, Text(body="Door detected"), False)
    assert network.counts["telemetry_not_for_all"] == 1


async def test_a_replay_is_the_same_message_and_its_node_was_not_heard_for_it(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        mesh = network.mesh
        async with bridge, Reader(bridge) as reader:
            number = mesh["MRKT"].say("stalls are up", reply_id=77)
            direct = mesh["MRKT"].say("for you alone", to=mesh.gateway.number)
            await reader.until(lambda r: len(r.messages) == 2)
            heard_ms = _heard_ms(bridge)
            mesh.store_and_forward("MRKT", number, after_s=5)
            mesh.store_and_forward("MRKT", direct, after_s=5)
            mesh.replay("MRKT", number, after_s=6, via_mqtt=True)
            await reader.until(lambda r: len(r.messages) == 4)
            replayed_ms = _heard_ms(bridge)
            await reader.until(lambda r: len(r.messages) == 5)

    once, alone, again, alone_again, over_mqtt = reader.messages
    assert once.id == again.id == over_mqtt.id
    assert (again.origin, again.direct, again.reply_to) == (LONG_FAST, False, "0000004d")
    assert again.content == Text(body="stalls are up (said earlier)")
    assert (alone_again.id, alone_again.origin, alone_again.direct) == (alone.id, MARKET, True)
    assert abs(replayed_ms - heard_ms) <= 2  # one moment, read off a clock that goes on


def _heard_ms(bridge: MeshtasticBridge) -> int | None:
    (market,) = [node for node in bridge.nodes() if node.id == MARKET.conversation]
    return market.last_heard_ms
