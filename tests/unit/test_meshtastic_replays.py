# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.meshtastic.replays: what a Store & Forward node says again is what was said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.convert import sender_of
from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.replays import as_said
from bridges.sim.devices import heartbeat_data, replay_of
from bridges.sim.packets import packet_of, text_data

OWN, RIDGE = 0xA1B2C300, 0xA1B2C301


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([BROADCAST, OWN]))
def test_a_replay_is_its_original_in_all_that_counts(payload: bytes, reply_id: int, emoji: bool, to: int) -> None:
    original = packet_of(text_data(payload, reply_id=reply_id, emoji=emoji), sender=RIDGE, to=to, id=0x42, channel=1)

    said = as_said(replay_of(original, to=OWN))

    assert said is not None
    assert (sender_of(said), said.id, said.to, said.channel) == (RIDGE, 0x42, to, 1)
    assert said.decoded == original.decoded


@pytest.mark.parametrize(
    "data",
    [
        text_data("hello"),
        heartbeat_data(),
        Data(portnum=PortNum.STORE_FORWARD_APP, payload=b"\xff\xff"),
        Data(portnum=PortNum.STORE_FORWARD_APP),
        Data(portnum=PortNum.STORE_FORWARD_APP, payload=b"\x08\x09"),  # said to be a text, and none is in it
    ],
)
def test_what_is_no_replay_of_a_text_is_left_alone(data: Data) -> None:
    packet = packet_of(data, sender=RIDGE, to=BROADCAST, id=7)
    assert as_said(packet) is None


@given(st.binary(max_size=60))
def test_no_payload_is_too_odd(payload: bytes) -> None:
    packet = MeshPacket(to=OWN, id=7)
    packet.decoded.CopyFrom(Data(portnum=PortNum.STORE_FORWARD_APP, payload=payload))
    said = as_said(packet)
    assert said is None or said.decoded.portnum == PortNum.TEXT_MESSAGE_APP
