# SPDX-License-Identifier: GPL-3.0-or-later
"""Two radios of one gateway on one mesh: what one sends the other hears, and it is no news."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from meshtastic.protobuf.mesh_pb2 import Data

from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.meshtastic.register import Register
from bridges.sim import BROADCAST, Settings, TcpPort
from gateway.intake import Intake
from gateway.journal import Accepted, Change, Journal, Retention, Seen
from gateway.model import (
    Address,
    BridgeName,
    Delivery,
    Lane,
    Level,
    Message,
    RateLimited,
    State,
    key_of,
    message_id,
)
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


@asynccontextmanager
async def twins(tmp_path: Path, *, hears: bool = True, **tables: Any) -> AsyncIterator[Twins]:
    """Both radios connected; they know each other from their nodes' databases, and hear each other unless told."""
    register = Register()
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(air(tmp_path))
        port = await stack.enter_async_context(TcpPort(network.mesh, node="RDGE"))
        twin = Air(network.mesh, port, f"tcp:127.0.0.1:{port.port}")
        if not hears:
            network.mesh.link("HILL", "RDGE", loss=1.0)
        bridges = {
            RADIO: bridge_on(network, tmp_path, register=register, **tables),
            OTHER: bridge_on(twin, tmp_path, name=OTHER, register=register, **tables),
        }
        journal = await stack.enter_async_context(
            Journal(tmp_path / "journal.db", clock=ScaledClock(), retention=Retention())
        )
        readers = {}
        for name, bridge in bridges.items():
            await stack.enter_async_context(bridge)
            readers[name] = await stack.enter_async_context(Reader(bridge))
        yield Twins(network, Gateway(journal, bridges), readers)


@dataclass
class Twins:
    network: Air
    gateway: Gateway
    readers: dict[BridgeName, Reader]

    async def work(self) -> None:
        """Do what two senders do, both at once, until nothing is left: send, put off, pass over what is cancelled."""
        listening = asyncio.create_task(self._listen())
        left = [delivery for delivery in self.gateway.handed if delivery.to.bridge != ROOM.bridge]
        await asyncio.gather(*(self._deliver(delivery) for delivery in left))
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    async def _deliver(self, delivery: Delivery) -> None:
        clock = self.gateway.bridges[delivery.to.bridge]._context.clock
        for _ in range(20):
            standing = (await self.gateway.journal.standings([delivery.id]))[delivery.id]
            if standing.state is State.CANCELLED:
                return
            try:
                await self.gateway.send(delivery)
            except RateLimited as error:
                self.gateway.journal.note([Change(id=delivery.id, state=State.QUEUED, at_ms=0, reason=str(error))])
                await clock.sleep(error.retry_after_s or 1.0)
            else:
                await self.gateway.journal.apply([Change(id=delivery.id, state=State.SENT, at_ms=0)])
                return

    async def _listen(self) -> None:
        taken = dict.fromkeys(self.readers, 0)
        while True:
            for name, reader in self.readers.items():
                for message in reader.messages[taken[name] :]:
                    await self.gateway.accept(message)
                taken[name] = len(reader.messages)
            await asyncio.sleep(0.005)

    def heard(self, node: str = "RIVR") -> list[str]:
        return [heard.text for heard in self.network.mesh[node].heard]


async def test_two_radios_on_one_mesh_that_are_free_at_once_say_it_once(tmp_path: Path):
    async with twins(tmp_path) as both:
        for number in range(3):
            await both.gateway.accept(replace(said(f"text {number}", number=number), remote_id=f"$m{number}"))
        await both.work()

        assert sorted(both.heard()) == [f"Ali: text {number}" for number in range(3)]


async def test_what_one_radio_heard_the_other_does_not_say_again_on_the_same_mesh(tmp_path: Path):
    async with twins(tmp_path) as both:
        both.network.mesh.link("MRKT", "RDGE", loss=1.0)  # so that the ridge hears it from a relay, later
        both.network.mesh["MRKT"].say("anybody?")
        await both.readers[RADIO].until(lambda r: r.messages)
        await both.gateway.accept(both.readers[RADIO].messages[0])
        await both.work()

        assert both.heard() == ["anybody?"]
        rooms = [delivery for delivery in both.gateway.handed if delivery.to == ROOM]
        assert len(rooms) == 1


async def test_an_alert_that_both_hear_is_one_emergency(tmp_path: Path):
    async with twins(tmp_path) as both:
        both.network.mesh["MRKT"].send(Data(portnum="ALERT_APP", payload=b"fire"))
        await asyncio.gather(*(reader.until(lambda r: r.messages) for reader in both.readers.values()))
        results = [await both.gateway.accept(reader.messages[0]) for reader in both.readers.values()]
        await both.work()

        assert [type(result) for result in results] == [Accepted, Seen]
        assert {delivery.message.lane for delivery in both.gateway.handed} == {Lane.EMERGENCY}
        assert both.heard() == ["fire"]


async def test_where_the_two_do_not_hear_each_other_each_says_it(tmp_path: Path):
    async with twins(tmp_path, hears=False) as both:
        for node in ("MRKT", "RIVR"):
            both.network.mesh.link("RDGE", node, loss=1.0)
        await both.gateway.accept(replace(said("to all"), remote_id="$m"))
        await both.work()

        senders = [heard.sender for heard in both.network.mesh["RIVR"].heard]
        assert senders == [both.network.mesh["HILL"].number]
        states = {
            delivery.to: (await both.gateway.journal.standings([delivery.id]))[delivery.id].state
            for delivery in both.gateway.handed
            if delivery.to != ROOM
        }
        assert states == {LONG_FAST: State.SENT, RIDGE: State.SENT}


async def test_two_meshes_joined_by_one_route_carry_each_others_texts_at_once(tmp_path: Path):
    register = Register()
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(air(tmp_path))
        (tmp_path / "there").mkdir()
        there = await stack.enter_async_context(air(tmp_path / "there", settings=Settings(preset="MEDIUM_FAST")))
        # The other mesh's first node has another number: no two boards have the same one.
        port = await stack.enter_async_context(TcpPort(there.mesh, node="RDGE"))
        there = Air(there.mesh, port, f"tcp:127.0.0.1:{port.port}")
        far = Address(OTHER, "MediumFast")
        one = await stack.enter_async_context(bridge_on(here, tmp_path, register=register))
        other = await stack.enter_async_context(bridge_on(there, tmp_path, name=OTHER, register=register))
        reader = await stack.enter_async_context(Reader(one))
        here.mesh["MRKT"].say("to the other valley")
        await reader.until(lambda r: r.messages)
        await other.send(reader.messages[0], far, key="d1.0")
        await there.mesh["RIVR"].wait_text("to the other valley")


async def test_a_question_that_both_hear_is_answered_once_and_the_answer_is_no_news(tmp_path: Path):
    async with twins(tmp_path, answers=["ping"]) as both:
        market = both.network.mesh["MRKT"]
        # Nobody knows its key: it is answered where it asked, for all to hear.
        for place in ("HILL", "RDGE"):
            both.network.mesh[place].radio.strangers.add(market.number)
        market.say("!ping")
        first = await market.wait_heard(lambda heard: heard.reply_id)
        market.say("end")
        await asyncio.gather(*(reader.until(lambda r: "end" in r.bodies) for reader in both.readers.values()))

        assert [heard.id for heard in market.heard] == [first.id]
        assert {body for reader in both.readers.values() for body in reader.bodies} == {"end"}


async def test_a_direct_message_goes_to_the_radio_it_was_for_and_no_other(tmp_path: Path):
    async with twins(tmp_path) as both:
        market = both.network.mesh["MRKT"]
        for place in ("HILL", "RDGE"):
            market.say(f"to {place}", to=both.network.mesh[place].number)
        market.say("to all", to=BROADCAST)
        await asyncio.gather(*(reader.until(lambda r: "to all" in r.bodies) for reader in both.readers.values()))
        private = {name: [m for m in reader.messages if m.direct] for name, reader in both.readers.items()}

        assert {name: [m.content.body for m in some] for name, some in private.items()} == {
            RADIO: ["to HILL"],
            OTHER: ["to RDGE"],
        }
        assert [m.origin for some in private.values() for m in some] == [
            Address(RADIO, "!a1b2c302"),
            Address(OTHER, "!a1b2c302"),
        ]
        answer = said("here I am")
        await both.gateway.bridges[OTHER].send(answer, Address(OTHER, "!a1b2c302"), key="d9.0")
        assert (await market.wait_text("here I am")).sender == both.network.mesh["RDGE"].number
