# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from meshtastic.protobuf.channel_pb2 import Channel
from meshtastic.protobuf.mesh_pb2 import FromRadio

from bridges.meshtastic.spelling import Spelling
from bridges.meshtastic.station import Station
from gateway.model import RoutedConversation


def station(*names: str) -> Station:
    told = Station()
    for index, name in enumerate(names):
        channel = Channel(index=index, role=Channel.Role.SECONDARY if index else Channel.Role.PRIMARY)
        channel.settings.name = name
        told.learn(FromRadio(channel=channel))
    told.settle()
    return told


def test_channels_are_spelled_as_the_routes_do_and_anew_when_these_change():
    spelling = Spelling(station("Town", "Farm"), [RoutedConversation(name="#1")])

    assert spelling.conversations() == ["Town", "#1"]
    assert spelling.spelled("Farm") == "#1"

    spelling.reroute([RoutedConversation(name="#0")])

    assert spelling.conversations() == ["#0", "Farm"]
    assert spelling.spelled("#1") == "Farm"


def test_what_is_no_channel_of_the_node_stays_as_it_is_spelled():
    spelling = Spelling(station("Town"), [])

    assert spelling.spelled("Elsewhere") == "Elsewhere"
    assert spelling.spelled("!a1b2c301") == "!a1b2c301"
