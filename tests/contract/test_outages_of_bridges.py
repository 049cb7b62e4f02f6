# SPDX-License-Identifier: GPL-3.0-or-later
"""What an outage costs and what it doesn't, with the core's own delivery on every kind of real bridge."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from bridges.meshtastic.transmitter import SILENT_TRIES
from bridges.sim.synapse import Synapse
from gateway.backoff import Policy
from gateway.emergency import EmergencyRules
from gateway.link import LinkState
from gateway.model import Address, Bridge, BridgeName, DeliveryId, Message, RateLimited, Receipt, TransientError
from gateway.routing import Route, RoutingTable
from gateway.supervisor import Supervisor
from gateway.turn import Turn
from tests.contract.delivery_desk import Core, running_core
from tests.contract.harness import PATIENCE_S, Harness
from tests.contract.harness_matrix import MatrixHarness
from tests.contract.test_bridges import EVERY_FAR_END, harness, lan_mesh, matrix, serial_radio, tcp_radio
from tests.services import build_town, synapse_or_skip

__all__ = ["harness", "lan_mesh", "matrix", "serial_radio", "tcp_radio"]

ACROSS_A_NETWORK = [*EVERY_FAR_END, "no radio, on the LAN"]
"""Boxes on the LAN write to a log of their own: there is nothing between the gateway and it that could be out."""

THERE = Address(BridgeName("lan"), "town")
NOWHERE = Address(BridgeName("lan"), "nowhere")
STRICT = Policy(first_s=0.05, longest_s=0.2, attempts=1, there_again_s=0.5)
"""The first attempt that is charged ends a message."""
RULES = EmergencyRules(words=("SOS",))


class Roomy:
    """The bridge itself, but for what it says of its room: so that what it must refuse reaches it."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.name = bridge.name
        self.capabilities = replace(bridge.capabilities, room_for=lambda *_: 10**6)
        self.receive = bridge.receive
        self.refused: list[TransientError] = []

    async def __aenter__(self) -> Self:
        await self._bridge.__aenter__()
        return self

    async def send(self, message: Message, to: Address, *, key: str) -> Receipt:
        try:
            return await self._bridge.send(message, to, key=key)
        except TransientError as error:
            self.refused.append(error)
            raise

    async def __aexit__(self, *what: object) -> None:
        await self._bridge.__aexit__(*what)  # type: ignore[arg-type]  # what it was given


@asynccontextmanager
async def kept_connected(harness: Harness, folder: Path) -> AsyncIterator[Core]:
    """A core whose only bridge is the harness's, supervised, and strict."""
    bridge = Roomy(harness.bridge())
    # A radio that has it already passes over it in silence, and is believed after so many tries.
    policy = STRICT if bridge.capabilities.in_flight > 1 else replace(STRICT, attempts=SILENT_TRIES)
    routes = (
        Route(name="there", sources=(THERE,), targets=(harness.place,)),
        Route(name="nowhere", sources=(NOWHERE,), targets=(harness.nowhere,)),
    )
    async with running_core(folder, bridge, policy=policy, table=RoutingTable(routes=routes), rules=RULES) as core:
        core.link.set(LinkState.CONNECTING, "", 0)
        supervisor = Supervisor(
            bridge=bridge,
            link=core.link,
            intake=core.intake,
            clock=core.clock,
            random=random.Random(1),
            report=core.sender.reports.take,
            came_up=core.sender.due_now,
            changed=lambda _: None,
            turn=Turn(core.bridge, core.journal, core.outbox, core.clock, owner="box", shared=False),
        )
        task = asyncio.create_task(supervisor.run())
        try:
            yield core
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def say(core: Core, body: str, *, origin: Address = THERE) -> DeliveryId:
    (ident,) = await core.say(body[:20], origin=origin, body=body)
    return ident


async def sent(core: Core, ident: DeliveryId) -> str:
    """Wait until the far network has it, or it failed."""
    found: str = await core.until(ident, "sent", "heard", "delivered", "failed", timeout_s=PATIENCE_S)
    return found


async def shown(harness: Harness, count: int) -> list[str]:
    """Return what people saw, once it is so much: a radio says it a moment after it took it."""
    async with asyncio.timeout(PATIENCE_S):
        while len(found := await harness.shown()) < count:
            await asyncio.sleep(0.05)
    return [one.body.removeprefix("Ali: ") for one in found]


@pytest.mark.parametrize("harness", EVERY_FAR_END, indirect=True)
async def test_an_outage_costs_no_message_an_attempt_and_none_its_place(harness: Harness, tmp_path: Path):
    async with kept_connected(harness, tmp_path) as core:
        await sent(core, await say(core, "before"))
        harness.mute()
        ids = [await say(core, f"meanwhile {n}") for n in range(3)]
        async with asyncio.timeout(PATIENCE_S):
            while ids[0] not in core.sender.in_hand:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # it is on the line now, or about to be: both must cost nothing
        await harness.cut()
        async with asyncio.timeout(PATIENCE_S):
            while core.link.is_up:
                await asyncio.sleep(0.05)
        harness.unmute()
        await harness.mend()

        assert "failed" not in [await sent(core, ident) for ident in ids]
        assert await shown(harness, 4) == ["before", *(f"meanwhile {n}" for n in range(3))]


@pytest.mark.parametrize("harness", ACROSS_A_NETWORK, indirect=True)
async def test_what_a_network_will_never_take_is_a_dead_letter_at_once_and_the_next_goes_on(
    harness: Harness, tmp_path: Path
):
    async with kept_connected(harness, tmp_path) as core:
        first, huge, last = [await say(core, body) for body in ("first", "x" * 100_000, "last")]

        assert await sent(core, huge) == "failed"
        assert [state for state, _ in await core.history(huge)].count("sending") == 1
        assert "failed" not in (await sent(core, first), await sent(core, last))
        assert await shown(harness, 2) == ["first", "last"]


@pytest.mark.parametrize("harness", ACROSS_A_NETWORK, indirect=True)
async def test_an_emergency_in_an_outage_is_the_first_that_is_shown_after_it(harness: Harness, tmp_path: Path):
    async with kept_connected(harness, tmp_path) as core:
        await sent(core, await say(core, "before"))
        await harness.cut()
        async with asyncio.timeout(PATIENCE_S):
            while core.link.is_up:
                await asyncio.sleep(0.05)
        ids = [await say(core, body) for body in ("one", "two", "SOS at the mill")]
        await core.until(ids[-1], "queued")
        await harness.mend()
        for ident in ids:
            await sent(core, ident)

        before, urgent, *others = await shown(harness, 4)
        assert [before, *others] == ["before", "one", "two"]
        assert urgent.startswith("\U0001f6a8")
        assert urgent.endswith("SOS at the mill")


@pytest.mark.parametrize("harness", ACROSS_A_NETWORK, indirect=True)
async def test_a_conversation_that_is_not_there_holds_up_no_other(harness: Harness, tmp_path: Path):
    async with kept_connected(harness, tmp_path) as core:
        lost = await say(core, "is anybody there", origin=NOWHERE)
        assert await core.until(lost, "waiting", "failed", timeout_s=PATIENCE_S) == "waiting"
        kept = await say(core, "here")

        assert await sent(core, kept) != "failed"
        assert await core.state(lost) in {"waiting", "sending", "queued"}
        assert core.sender.gate.breaker.opened == 0


async def test_a_homeserver_that_limits_the_rate_is_asked_when_it_said_and_by_one_message(tmp_path: Path):
    slow = {"rc_message": {"per_second": 1.0, "burst_count": 3}}
    async with Synapse(tmp_path / "synapse", python=synapse_or_skip(), settings=slow) as server:
        town = await build_town(server)
        harness = MatrixHarness(town, tmp_path / "state", None)
        async with kept_connected(harness, tmp_path) as core:
            ids = [await say(core, f"text {n}") for n in range(9)]
            assert "failed" not in [await sent(core, ident) for ident in ids]
            refused = core.bridge.refused
            opened = core.sender.gate.breaker.opened

            assert await shown(harness, 9) == [f"text {n}" for n in range(9)]
            assert opened > 0
            # Waiting as long as it said, the next one is let through: nobody knocks in between.
            assert len(refused) <= opened + 2
            assert all(isinstance(error, RateLimited) and error.retry_after_s for error in refused)
        await town.ali.client.close()
