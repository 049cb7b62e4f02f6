# SPDX-License-Identifier: GPL-3.0-or-later
"""How nodes learn each other's keys, as the firmware does it."""

from __future__ import annotations

import random
from typing import Any

from meshtastic.protobuf.mesh_pb2 import Data, User

from bridges.sim.agenda import Agenda
from bridges.sim.air import Air
from bridges.sim.airtime import PRESETS
from bridges.sim.handshake import user
from bridges.sim.identity import BROADCAST, FAR_NODES, GATEWAY
from bridges.sim.introductions import Introductions
from bridges.sim.packets import packet_of, text_data
from bridges.sim.radio import Radio

OWN, ASKER, OTHER = FAR_NODES[0].number, GATEWAY, FAR_NODES[1]


class Node:
    def __init__(self) -> None:
        agenda, chance = Agenda(), random.Random(1)
        self.radio = Radio(FAR_NODES[0], Air(agenda, PRESETS["LONG_FAST"], chance), agenda, chance)
        self.radio.strangers.update({ASKER.number, OTHER.number})
        self.sent: list[tuple[int, Data, bool]] = []
        self.introductions = Introductions(self.radio, self.send)

    def send(self, data: Data, *, to: int, want_ack: bool = False) -> int:
        self.sent.append((to, data, want_ack))
        return 1

    def hear(self, now: float, *, to: int = OWN, asks: bool = True, key: bool = True, sender: Any = ASKER) -> None:
        told = user(sender)
        if not key:
            told.public_key = b""
        data = Data(portnum="NODEINFO_APP", payload=told.SerializeToString(), want_response=asks)
        packet = packet_of(data, sender=sender.number, to=to, id=7, want_ack=True)
        self.introductions.hear(packet, now)


def test_a_key_that_is_told_is_known_from_then_on_whoever_it_was_told():
    node = Node()
    node.hear(0.0, to=BROADCAST, asks=False)
    node.hear(0.0, to=BROADCAST, asks=False, key=False, sender=OTHER)

    assert node.radio.strangers == {OTHER.number}
    assert node.sent == []


def test_who_asks_is_told_with_the_key_and_what_it_answers():
    node = Node()
    node.hear(0.0)

    ((to, data, want_ack),) = node.sent
    assert (to, data.request_id, want_ack) == (ASKER.number, 7, True)
    assert User.FromString(data.payload).public_key == FAR_NODES[0].public_key


def test_it_says_who_it_is_once_in_ten_minutes_whoever_asks_and_however_it_came_about():
    node = Node()
    node.introductions.tell(0.0)
    for now in (1.0, 599.0, 600.0, 601.0, 1199.0, 1200.0):
        node.hear(now, sender=OTHER if now == 601.0 else ASKER)

    assert [to for to, _, _ in node.sent] == [BROADCAST, ASKER.number, ASKER.number]
    assert node.introductions.asked == 6


def test_a_node_may_keep_silent_or_have_no_key():
    node = Node()
    node.introductions.answers = False
    node.hear(0.0)
    node.introductions.answers, node.introductions.has_key = True, False
    node.hear(1.0)

    ((_, data, _),) = node.sent
    assert User.FromString(data.payload).public_key == b""


def test_what_is_no_description_is_let_by():
    node = Node()
    node.introductions.hear(packet_of(text_data("hi"), sender=ASKER.number, to=OWN, id=7), 0.0)
    broken = Data(portnum="NODEINFO_APP", payload=b"\xff\xff", want_response=True)
    node.introductions.hear(packet_of(broken, sender=ASKER.number, to=OWN, id=7), 0.0)

    assert node.sent == []
    assert ASKER.number in node.radio.strangers
