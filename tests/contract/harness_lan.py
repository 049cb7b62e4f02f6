# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio bridge without a radio, on a LAN where simulated nodes are."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridges.meshtastic import kind
from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.meshtastic.node.interfaces import look
from bridges.sim.lan import LanNode
from gateway.model import Address, BridgeContext, BridgeName, RemoteId
from tests.contract.harness import Shown
from tests.contract.harness_meshtastic import LONG_FAST, RADIO, ScaledClock
from tests.namespaces import Wires, own_network

RIDGE = 0xA1B2C301
LAN_SCALE = 20.0


@dataclass
class Lan:
    """A LAN with one node on it, in a network of its own."""

    wires: Wires
    ridge: LanNode
    counts: Counter[str] = field(default_factory=Counter)


@asynccontextmanager
async def lan(**ridge: Any) -> AsyncIterator[Lan]:
    with own_network() as wires:
        async with LanNode("Ridge relay", RIDGE, interface="lan0", **ridge) as node:
            yield Lan(wires, node)


def bridge_without_radio(
    network: Lan,
    state_dir: Path,
    *,
    name: BridgeName = RADIO,
    scale: float = LAN_SCALE,
    interfaces: str = "lan0",
    **table: Any,
) -> MeshtasticBridge:
    """Build a bridge as the core would."""
    raw = {"kind": "meshtastic", "connection": f"udp:{interfaces}", **table}
    kind.check(raw)
    context = BridgeContext(
        name=name,
        table=raw,
        state_dir=state_dir,
        clock=ScaledClock(scale),
        random=random.Random(),
        count=lambda what: network.counts.update([what]),
    )
    bridge = kind.create(context)
    assert isinstance(bridge, MeshtasticBridge)
    return bridge


class LanHarness:
    """Somebody at a node on a ridge, that is on the same LAN as the gateway."""

    place = LONG_FAST
    nowhere = Address(RADIO, "Village")

    def __init__(self, network: Lan, folder: Path) -> None:
        self._network = network
        self._folder = folder

    def bridge(self, *, resume: Any = None) -> MeshtasticBridge:
        assert resume is None, "a LAN keeps no past"
        return bridge_without_radio(self._network, self._folder)

    async def say(self, body: str, *, reply_to: RemoteId | None = None) -> RemoteId:
        # A multicast is in every listener's socket when the sending returns.
        number = self._network.ridge.say(body, reply_id=int(reply_to, 16) if reply_to else 0)
        return RemoteId(f"{number:08x}")

    async def shown(self) -> list[Shown]:
        return [
            Shown(
                id=RemoteId(f"{heard.id:08x}"),
                body=heard.text,
                reply_to=RemoteId(f"{heard.reply_id:08x}") if heard.reply_id else None,
            )
            for heard in self._network.ridge.heard
            if heard.text
        ]

    async def cut(self) -> None:
        self._network.wires.ip("link set lan0 down")

    async def mend(self) -> None:
        self._network.wires.ip("link set lan0 up")
        # The kernel tells of the cable a moment later, longer on a machine that is busy.
        async with asyncio.timeout(10):
            while isinstance(look("lan0"), str):
                await asyncio.sleep(0.01)

    def mute(self) -> None:
        raise NotImplementedError("our own node always answers")

    confuse = unmute = mute

    async def wait_visited(self) -> None:
        raise NotImplementedError("nobody visits a LAN")


@asynccontextmanager
async def no_radio(tmp_path: Path) -> AsyncIterator[LanHarness]:
    async with lan() as network:
        yield LanHarness(network, tmp_path)
