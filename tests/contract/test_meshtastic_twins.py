# SPDX-License-Identifier: GPL-3.0-or-later
"""Two radios of one gateway on one mesh: what one sends the other hears, and it is no news."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.sim import TcpPort
from gateway.intake import Intake
from gateway.journal import Accepted, Change, Journal, Retention, Seen
from gateway.model import Address, BridgeName, Delivery, Level, Message, State, key_of, message_id
from gateway.outbox.memory import MemoryOutbox
from gateway.planning import Planner
from gateway.routing import Route, RoutingTable
from tests.contract.harness import Reader
from tests.contract.harness_meshtastic import LONG_FAST, RADIO, Air, ScaledClock, air, bridge_on, said

ROOM = said("").origin
OTHER = BridgeName("ridge")
RIDGE = Address(OTHER, "LongFast")


class Unobserved:
    """An observer that doesn't look."""

    def accepted(self, *_: object) -> None: ...

    def changed(self, *_: object) -> None: ...

    def sent(self, *_: object) -> None: ...


@dataclass
class Gateway:
    """Both radios and a room on one route, a real journal, and nobody in between."""

    journal: Journal
    bridges: dict[BridgeName, MeshtasticBridge]
    handed: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        everywhere = (LONG_FAST, RIDGE, ROOM)
        capabilities = {name: bridge.capabilities for name, bridge in self.bridges.items()}
        planner = Planner(
            table=RoutingTable(routes=(Route(name="all", sources=everywhere, targets=everywhere),)),
            capabilities={**capabilities, ROOM.bridge: self.bridges[RADIO].capabilities},
            level_of=lambda _: Level.ADMIN,
            is_direct=lambda _: False,
        )
        self.intake = Intake(
            self.journal,
            planner,
            MemoryOutbox(),
            Unobserved(),
            hand_over=lambda _, deliveries: self.handed.extend(deliveries),
            changing=lambda _: nullcontext(),
            works=lambda _: True,
            rewrite=lambda: lambda carrier, _: carrier,
        )

    async def accept(self, message: Message) -> Accepted | Seen:
        return await self.intake.accept(message)

    async def send(self, delivery: Delivery) -> None:
        """Do what a sender does for one delivery."""
        bridge, key = self.bridges[delivery.to.bridge], key_of(delivery.id, 0)
        foreseen = bridge.foresee(key)
        assert foreseen.native_id is not None
        begun = Change(
            id=delivery.id,
            state=State.SENDING,
            at_ms=0,
            remote_id=foreseen.remote_id,
            also=message_id(foreseen.native_id),
        )
        self.journal.note([begun])
        await bridge.send(delivery.message, delivery.to, key=key)


async def test_what_one_of_our_radios_sends_the_other_hears_without_echo_or_loop(tmp_path: Path):
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(air(tmp_path))
        port = await stack.enter_async_context(TcpPort(network.mesh, node="RDGE"))
        twin = Air(network.mesh, port, f"tcp:127.0.0.1:{port.port}")
        bridges = {RADIO: bridge_on(network, tmp_path), OTHER: bridge_on(twin, tmp_path, name=OTHER)}
        assert bridges[RADIO].foresee("d.0").native_id is None
        journal = await stack.enter_async_context(
            Journal(tmp_path / "journal.db", clock=ScaledClock(), retention=Retention())
        )
        gateway = Gateway(journal, bridges)
        readers = {}
        for name, bridge in bridges.items():
            await stack.enter_async_context(bridge)
            readers[name] = await stack.enter_async_context(Reader(bridge))

        asked = replace(said("coffee?"), remote_id="$asked")
        await gateway.accept(asked)
        ours, copy = gateway.handed
        await gateway.send(ours)
        await readers[OTHER].until(lambda r: r.messages)
        echo = readers[OTHER].messages[0]
        seen = await gateway.accept(echo)

        assert echo.native_id == bridges[RADIO].foresee(key_of(ours.id, 0)).native_id
        assert (ours.to, copy.to, echo.origin) == (LONG_FAST, RIDGE, RIDGE)
        assert seen == Seen(seq=1, origin=RIDGE, cancelled=(copy.id,))
        assert len(gateway.handed) == 2

        network.mesh["MRKT"].say("yes", reply_id=int(echo.remote_id, 16))
        await asyncio.gather(*(reader.until(lambda r: "yes" in r.bodies) for reader in readers.values()))
        first, second = (reader.messages[-1] for reader in readers.values())
        assert [await gateway.accept(each) for each in (second, first)] == [
            Accepted(seq=2),
            Seen(seq=2, origin=LONG_FAST, cancelled=tuple(d.id for d in gateway.handed if d.to == LONG_FAST)[1:]),
        ]
        for reply in (first, second):
            assert await journal.counterpart(reply.origin, reply.reply_to, ROOM) == "$asked"
