# SPDX-License-Identifier: GPL-3.0-or-later
"""What simulated nodes tell of the channel, and the strangers that fill it."""

from __future__ import annotations

import random

import pytest
from meshtastic.protobuf.mesh_pb2 import MeshPacket
from meshtastic.protobuf.telemetry_pb2 import Telemetry

from bridges.sim.agenda import Agenda
from bridges.sim.air import Air
from bridges.sim.airtime import PRESETS, airtime_s
from bridges.sim.identity import FAR_NODES, GATEWAY, Settings
from bridges.sim.packets import packet_of, text_data
from bridges.sim.radio import Radio
from bridges.sim.strangers import Strangers
from bridges.sim.telemetry import SelfReport
from bridges.sim.utilisation import Utilisation

BROADCAST = 0xFFFFFFFF


class Node:
    """A node's firmware, as far as telling goes."""

    def __init__(self, settings: Settings) -> None:
        self.agenda = Agenda()
        self.air = Air(self.agenda, PRESETS[settings.preset], random.Random(1))
        self.radio = Radio(GATEWAY, self.air, self.agenda, random.Random(2))
        self.other = Radio(FAR_NODES[0], self.air, self.agenda, random.Random(3))
        self.settings = settings
        self.buffered = 0
        self.kept: list[MeshPacket] = []
        SelfReport(self, self.agenda).begin(0.0)

    def keep(self, packet: MeshPacket) -> None:
        self.kept.append(packet)

    def told(self) -> list[Telemetry]:
        return [Telemetry.FromString(packet.decoded.payload) for packet in self.kept]


def test_utilisation_is_of_the_last_minute_in_buckets_of_ten_seconds():
    busy = Utilisation()
    busy.note(3.0, 5.0)
    busy.note(3.0, 8.0)
    busy.note(6.0, 31.0)

    assert busy.percent(31.0) == pytest.approx(20.0)
    assert busy.percent(59.9) == pytest.approx(20.0)
    assert busy.percent(60.0) == pytest.approx(10.0)
    assert busy.percent(90.0) == 0.0


def test_a_node_tells_the_mesh_first_then_its_client_every_minute_and_statistics_every_quarter_of_an_hour():
    node = Node(Settings(telemetry_s=60.0))
    node.agenda.advance(1799.0)

    kinds = [told.WhichOneof("variant") for told in node.told()]
    assert kinds[:4] == ["device_metrics", "device_metrics", "local_stats", "device_metrics"]
    assert kinds.count("local_stats") == 2
    assert kinds.count("device_metrics") == 29
    assert len(node.radio.airtime) == 1, "to the mesh, once in half an hour"


def test_a_node_tells_nothing_unless_it_is_set_to():
    node = Node(Settings())
    node.agenda.advance(7200.0)

    assert node.kept == []


def test_a_node_tells_its_client_nothing_new_while_it_has_not_fetched_the_last():
    node = Node(Settings(telemetry_s=60.0))
    node.buffered = 1
    node.agenda.advance(600.0)

    assert len(node.kept) == 1, "what went to the mesh as well"


def test_what_a_node_sends_and_hears_is_its_channel_and_what_it_sends_its_own_share():
    node = Node(Settings(telemetry_s=60.0, telemetry_to_mesh_s=1e9))
    took = airtime_s(PRESETS["LONG_FAST"], 100)
    for radio in (node.radio, node.other):
        radio.repeats = False
    node.agenda.at(110.0, lambda now: node.radio.send(_packet(node.radio, 1), now) and None)
    node.agenda.at(113.0, lambda now: node.other.send(_packet(node.other, 2), now) and None)
    node.agenda.advance(120.5)

    metrics = (
        node.told()[-1].device_metrics if node.told()[-1].HasField("device_metrics") else node.told()[-2].device_metrics
    )
    first = airtime_s(PRESETS["LONG_FAST"], len(node.kept[0].decoded.payload))
    assert metrics.channel_utilization == pytest.approx(100 * (2 * took) / 60, abs=100 * first / 60 + 0.1)
    assert metrics.air_util_tx == pytest.approx(100 * (took + first) / 3600, abs=0.01)


def test_strangers_take_their_share_of_the_time_and_stop_when_told():
    agenda = Agenda()
    air = Air(agenda, PRESETS["LONG_FAST"], random.Random(4))
    radio = Radio(GATEWAY, air, agenda, random.Random(5))
    strangers = Strangers(air, agenda, random.Random(6))
    strangers.occupy(0.3, 0.0)
    agenda.advance(7200.0)
    assert air.airtime_used_s / 7200 == pytest.approx(0.3, abs=0.04)
    assert radio.airtime_within(3600.0, 7200.0) == 0.0, "nobody relays what is meant for nobody here"

    strangers.occupy(0.0, 7200.0)
    used = air.airtime_used_s
    agenda.advance(14400.0)
    assert air.airtime_used_s - used < 30


def _packet(radio: Radio, id: int) -> MeshPacket:
    return packet_of(text_data("x" * 100), sender=radio.number, to=BROADCAST, id=id)
