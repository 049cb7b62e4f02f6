# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.meshtastic.node.wire import MOST_BYTES, Unfit, read, write


def packet(**fields: Any) -> MeshPacket:
    sender = fields.pop("sender", 7)
    made = MeshPacket(**{"to": 9, "id": 5, "hop_limit": 3, "hop_start": 3, "encrypted": b"secret", **fields})
    setattr(made, "from", sender)
    return made


def test_a_packet_is_read_as_it_was_written():
    assert read(write(packet(want_ack=True))) == packet(want_ack=True)


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        (b"", Unfit.EMPTY),
        (write(packet(encrypted=b"")), Unfit.EMPTY),
        (write(packet())[:-3], Unfit.NOT_PROTOBUF),
        (b"\xff" * 20, Unfit.NOT_PROTOBUF),
        (bytes(MOST_BYTES + 1), Unfit.OVERSIZE),
        (write(packet(encrypted=bytes(257))), Unfit.OVERSIZE),
        (write(packet(sender=0)), Unfit.NO_SENDER),
        (write(packet(sender=0xFFFFFFFF)), Unfit.NO_SENDER),
        (write(packet(id=0)), Unfit.NO_ID),
        (write(packet(hop_limit=8)), Unfit.HOPS),
        (write(packet(hop_start=2**32 - 1)), Unfit.HOPS),
        (
            MeshPacket(to=9, id=5, decoded={"portnum": 1, "payload": b"in clear"}).SerializeToString(),
            Unfit.NOT_ENCRYPTED,
        ),
        (MeshPacket(to=9, id=5).SerializeToString(), Unfit.NOT_ENCRYPTED),
    ],
)
def test_what_is_no_packet_is_refused_with_the_reason(datagram: bytes, why: Unfit):
    assert read(datagram) is why


def test_what_only_the_receiver_can_know_is_not_taken_from_the_wire():
    lie = packet(pki_encrypted=True, public_key=b"k" * 32, rx_time=1, rx_snr=9.0, rx_rssi=-1)

    assert read(write(lie)) == packet()


@given(st.binary(max_size=600))
def test_no_datagram_is_more_than_unfit(datagram: bytes):
    read(datagram)


@given(st.data())
def test_no_datagram_with_bytes_changed_is_more_than_unfit(data: st.DataObject):
    damaged = bytearray(write(packet()))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))

    read(bytes(damaged))
