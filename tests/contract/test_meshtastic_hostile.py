# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody in range who means harm: they have the channel's key, as everybody has that of LongFast."""

from __future__ import annotations

from pathlib import Path

import pytest
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing
from meshtastic.protobuf.portnums_pb2 import PortNum

from gateway.model import Certainty
from tests.contract.harness import Reader
from tests.contract.harness_meshtastic import LONG_FAST, Air, air, bridge_on, said


def lie(network: Air, error: int, *, about: str) -> None:
    """Put an answer on the air as if our own node had given it."""
    own = network.mesh.gateway.number
    packet = MeshPacket(to=own, id=0x1234567, hop_start=3, hop_limit=3)
    payload = Routing(error_reason=error).SerializeToString()
    packet.decoded.CopyFrom(Data(portnum=PortNum.ROUTING_APP, request_id=int(about, 16), payload=payload))
    setattr(packet, "from", own)
    network.mesh.inject(packet)


@pytest.mark.parametrize("error", ["NONE", "DUTY_CYCLE_LIMIT", "NO_CHANNEL"])
async def test_what_somebody_says_in_our_own_nodes_name_is_not_believed(tmp_path: Path, error: str):
    async with air(tmp_path) as network:
        network.mesh.isolate("HILL")
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            receipt = await bridge.send(said("once"), LONG_FAST, key="d1.0")
            lie(network, Routing.Error.Value(error), about=str(receipt.remote_id))
            await reader.until(lambda _: network.counts["answer_under_our_number"])
            rest_s = bridge.drain_s(0)

    assert receipt.certainty is Certainty.SENT
    assert {report.outcome for report in reader.reports} <= {Certainty.SENT}, "nobody relayed it, and nothing else"
    assert rest_s < 30
