# SPDX-License-Identifier: GPL-3.0-or-later
"""The radio bridge and its share of the air, on a simulated mesh in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from meshtastic.protobuf.config_pb2 import Config

from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.sim import Settings, SimMesh, TcpPort
from bridges.sim.packets import packet_airtime_s, sender_of
from gateway.model import (
    Address,
    BridgeContext,
    BridgeName,
    Candidate,
    Delivery,
    Go,
    Hold,
    Lane,
    Message,
    NativeId,
    RateLimited,
    Schedules,
    Sender,
    SenderId,
    Text,
    key_of,
)
from tests.bench.air_day import EXPLAINED, Day, live
from tests.virtual_time import VirtualClock, run_virtually

RADIO = BridgeName("radio")
TOWN, MARKET = Address(RADIO, "Town"), Address(RADIO, "!a1b2c302")


@dataclass
class Place:
    """A mesh, and the bridge on its gateway's node."""

    mesh: SimMesh
    bridge: MeshtasticBridge
    clock: VirtualClock
    on_air: list[float]
    """Seconds of what the gateway's node sent of its own."""
    counts: Counter[str]

    def delivery(
        self, number: int = 1, *, body: str = "x" * 60, to: Address = TOWN, lane: Lane = Lane.NORMAL
    ) -> Delivery:
        message = Message(
            native_id=NativeId(f"mx:${number}"),
            origin=Address(BridgeName("home"), "#town:example.org"),
            sender=Sender(id=SenderId("@ali:example.org"), name="Ali"),
            content=Text(body=body),
            received_ms=number,
            lane=lane,
        )
        return Delivery(message=message, to=to)

    async def send(self, delivery: Delivery) -> None:
        await self.bridge.send(delivery.message, delivery.to, key=key_of(delivery.id, 0))

    def choose(self, *deliveries: Delivery) -> Any:
        return self.bridge.choose([Candidate(delivery=each) for each in deliveries])


@asynccontextmanager
async def place(folder: Path, settings: Settings | None = None, **table: Any) -> AsyncIterator[Place]:
    counts: Counter[str] = Counter()
    async with SimMesh(settings=settings, seed=7) as mesh, TcpPort(mesh) as port:
        clock = VirtualClock()
        context = BridgeContext(
            name=RADIO,
            table={"kind": "meshtastic", "connection": f"tcp:127.0.0.1:{port.port}", **table},
            state_dir=folder,
            clock=clock,
            random=random.Random(7),
            count=lambda what: counts.update([what]),
        )
        on_air: list[float] = []

        def watch(number: int, packet: Any, _now: float) -> None:
            if number == sender_of(packet) == mesh.gateway.number:
                on_air.append(packet_airtime_s(mesh.air.preset, packet))

        mesh.air.watch = watch
        async with MeshtasticBridge(context) as bridge:
            listening = asyncio.create_task(_listen(bridge))
            try:
                yield Place(mesh, bridge, clock, on_air, counts)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)


async def _listen(bridge: MeshtasticBridge) -> None:
    async with aclosing(bridge.receive()) as source:
        async for _ in source:
            pass


def played(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_virtually(story())


def test_a_radio_says_what_goes_next_and_what_of_the_hour_is_used(tmp_path):
    async def story() -> None:
        async with place(tmp_path) as here:
            assert isinstance(here.bridge, Schedules)
            first = here.delivery()
            assert here.choose(first) == Go(id=first.id)
            await here.send(first)
            assert isinstance(here.choose(here.delivery(2)), Hold), "its pace"
            await here.clock.sleep(10)

            assert here.choose(here.delivery(2)) == Go(id=here.delivery(2).id)
            assert (
                here.bridge.airtime().used_ms
                == round(1000 * sum(here.on_air))
                == here.bridge.airtime_ms(first.message, TOWN)
            )
            assert here.bridge.airtime().allowed_ms == 180_000
            assert here.bridge.drain_s(180_000) > 3000

    played(story)


def test_what_nobody_relays_is_counted_as_often_as_the_radio_sent_it(tmp_path):
    async def story() -> None:
        async with place(tmp_path) as here:
            here.mesh.isolate(here.mesh.gateway.number)
            await here.send(here.delivery())
            await here.clock.sleep(59)

            assert len(here.on_air) == 3
            assert here.bridge.airtime().used_ms == pytest.approx(1000 * sum(here.on_air), abs=2)

    played(story)


def test_where_nobody_relays_the_next_text_waits_for_the_radios_pace_and_no_longer(tmp_path):
    async def story() -> None:
        async with place(tmp_path) as here:
            here.mesh.isolate(here.mesh.gateway.number)
            began = here.clock.monotonic()
            for number in range(3):
                while isinstance(held := here.choose(here.delivery(number)), Hold):
                    assert held.is_brief
                    await here.clock.sleep(held.for_s)
                await here.send(here.delivery(number))

            assert here.clock.monotonic() - began < 7
            assert here.bridge.airtime().held == ""

    played(story)


def test_nobody_is_answered_on_a_busy_channel_although_nothing_waits_for_it(tmp_path):
    async def story() -> None:
        async with place(tmp_path, Settings(telemetry_s=60.0), answers=["ping"]) as here:
            here.mesh["MRKT"].say("!ping", to=here.mesh.gateway.number)
            await here.clock.sleep(30)
            assert here.counts["question_answered"] == 1

            here.mesh.occupy(0.5)
            await here.clock.sleep(130)
            here.mesh["RIVR"].say("!ping", to=here.mesh.gateway.number)
            await here.clock.sleep(60)
            assert here.counts["question_held"] == 1
            assert here.counts["question_answered"] == 1

    played(story)


def test_what_the_radio_did_not_send_is_not_counted(tmp_path):
    async def story() -> None:
        async with place(tmp_path) as here:
            here.mesh.gateway.firmware.tx_enabled = False
            with pytest.raises(RateLimited, match="may not transmit"):
                await here.send(here.delivery())

            assert here.on_air == []
            assert here.bridge.airtime().used_ms == 0

    played(story)


def test_the_acknowledgement_of_a_direct_message_is_counted(tmp_path):
    async def story() -> None:
        async with place(tmp_path) as here:
            here.mesh["MRKT"].say("hello", to=here.mesh.gateway.number)
            await here.clock.sleep(30)

            assert here.on_air
            assert here.bridge.airtime().used_ms == pytest.approx(1000 * here.on_air[0], abs=130)

    played(story)


def test_a_restart_finds_what_was_used_before(tmp_path):
    async def story() -> None:
        async with place(tmp_path) as here:
            await here.send(here.delivery())
            await here.clock.sleep(10)
            used_ms = here.bridge.airtime().used_ms
        async with place(tmp_path) as here:
            assert here.bridge.airtime().used_ms == used_ms > 0

    played(story)


def test_a_share_that_is_used_up_lets_nothing_out_whoever_sends_it(tmp_path):
    async def story() -> None:
        async with place(tmp_path, airtime_share="0.1%") as here:
            await here.send(here.delivery(1))
            for number in range(2, 12):
                await here.clock.sleep(60)
                with suppress(RateLimited):
                    await here.send(here.delivery(number))
            with pytest.raises(RateLimited, match="budget is used up"):
                await here.send(here.delivery(98))

            assert 0 < sum(here.on_air) <= 3.6
            held = here.choose(here.delivery(99))
            assert isinstance(held, Hold)
            assert here.bridge.airtime().held == held.reason

    played(story)


def test_a_busy_channel_holds_until_it_is_free_again(tmp_path):
    async def story() -> None:
        async with place(tmp_path, Settings(telemetry_s=60.0)) as here:
            here.mesh.occupy(0.9)
            await here.clock.sleep(130)
            held = here.choose(here.delivery())
            assert isinstance(held, Hold)
            assert "busy" in held.reason
            busy = here.bridge.airtime().busy_percent
            assert busy is not None
            assert 40 < busy <= 100
            guest = here.delivery(2, lane=Lane.GUEST)
            assert here.choose(guest).reason.startswith("the channel is crowded")

            here.mesh.occupy(0.0)
            await here.clock.sleep(130)
            assert isinstance(here.choose(here.delivery()), Go)

    played(story)


def test_a_radio_that_says_no_more_this_hour_is_left_alone_for_as_long_as_it_says(tmp_path):
    async def story() -> None:
        async with place(tmp_path, Settings(region="EU_868"), airtime_share="10%") as here:
            here.mesh.gateway.radio.airtime.append((here.mesh.now - 3000, 359.9))
            with pytest.raises(RateLimited, match="duty cycle"):
                await here.send(here.delivery())
            await here.clock.sleep(1)

            held = here.choose(here.delivery(2, lane=Lane.EMERGENCY))
            assert isinstance(held, Hold)
            assert held.reason == "the radio says that the region's duty cycle is used up: 10 min more"
            await here.clock.sleep(600)
            assert isinstance(here.choose(here.delivery(2)), Go)

    played(story)


def test_what_the_node_relays_for_others_leaves_less_of_what_the_law_allows(tmp_path):
    async def story() -> None:
        async with place(tmp_path, Settings(region="EU_868", telemetry_s=60.0)) as here:
            here.mesh.gateway.radio.airtime.append((here.mesh.now, 359.0))
            await here.clock.sleep(70)

            held = here.choose(here.delivery())
            assert isinstance(held, Hold)
            assert "relays" in held.reason

    played(story)


def test_a_radio_without_a_region_holds_everything_in_words(tmp_path):
    async def story() -> None:
        async with place(tmp_path, Settings(region="UNSET")) as here:
            held = here.choose(here.delivery(lane=Lane.EMERGENCY))
            assert isinstance(held, Hold)
            assert "no region" in held.reason

    assert Config.LoRaConfig.RegionCode.Value("UNSET") == 0
    played(story)


def test_two_hours_with_three_times_as_much_to_say_as_goes(tmp_path):
    """One test, for it is one day that is lived: `make bench` lives all 24 hours of it."""
    day = live(tmp_path, hours=2.0, seed=3, crowds=[(0.0, 0.03)])

    assert day.budget_error_percent() <= 1.0
    assert day.goodput_ratio() >= 0.95
    _emergencies_went_first_and_guests_last(day)
    _what_became_of_all_is_known(day)
    _no_room_had_much_less_than_the_loudest(day)


def _emergencies_went_first_and_guests_last(day: Day) -> None:
    assert not day.disorder
    assert len(day.emergency_waits_s()) >= 3
    assert max(day.emergency_waits_s()) < 10
    guests = [fate for fate in day.fates.values() if fate.delivery.lane is Lane.GUEST]
    assert sum(fate.state == "sent" for fate in guests) < len(guests) / 10


def _what_became_of_all_is_known(day: Day) -> None:
    assert set(day.states) <= EXPLAINED
    assert all(fate.reason for fate in day.fates.values() if fate.state not in ("sent", "waiting"))


def _no_room_had_much_less_than_the_loudest(day: Day) -> None:
    said: Counter[str] = Counter()
    for fate in day.fates.values():
        to = fate.delivery.to.conversation
        if fate.state == "sent" and fate.delivery.lane is Lane.NORMAL and not to.startswith("!"):
            said[to] += 1
    assert len(said) == 6
    assert max(said.values()) < 2 * min(said.values()), said
