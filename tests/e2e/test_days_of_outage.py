# SPDX-License-Identifier: GPL-3.0-or-later
"""Three days without one of the sides: all is kept, or accounted for; it takes little room, and drains in order."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from gateway.outbox.embedded import EmbeddedServer
from tests.contract.queue_server import start, stop
from tests.e2e.far_ends import DAY_S, ROOMS, Crossing, Network, crossing, resident_bytes
from tests.e2e.test_disks import Box, running

pytestmark = pytest.mark.timeout(300)

MIB = 1024 * 1024
MOST_MEMORY_BYTES = 20 * MIB
MOST_DISK_BYTES = 32 * MIB
DAYS = 3
SOME = 400
MANY = pytest.param(3000, marks=pytest.mark.slow)
"""What a community says in three days, in eight rooms."""
EXPIRES_S = 6 * 3600


async def three_days_of_talk(crossing: Crossing, network: Network, count: int) -> list[float]:
    """Let people say so many things in all rooms; return when, in seconds before the end."""
    step_s = DAYS * DAY_S / count
    for n in range(count):
        network.say(n % ROOMS, f"{n} said in these three days, about as long as people write on their phones")
        while crossing.is_running and network.stored < len(network.said):
            await asyncio.sleep(0)
        crossing.clock.ahead_s += step_s
    return [(count - n) * step_s for n in range(count)]


async def warm(crossing: Crossing) -> int:
    """Let a few messages cross, so that everything is loaded; return the memory that takes."""
    for n in range(ROOMS * 5):
        crossing.home.say(n % ROOMS, f"before {n}")
        crossing.radio.say(n % ROOMS, f"before {n}")
    await crossing.settled("home", ROOMS * 5)
    await crossing.settled("radio", ROOMS * 5)
    return resident_bytes()


def has_all_in_order(to: Network, of: Network) -> None:
    for n in range(ROOMS):
        assert to.shown_in(f"room{n}") == of.said_in(f"room{n}")


def is_small(crossing: Crossing, memory_before: int) -> None:
    assert resident_bytes() - memory_before < MOST_MEMORY_BYTES
    assert crossing.disk_bytes() < MOST_DISK_BYTES


@pytest.mark.parametrize("count", [SOME, MANY])
async def test_three_days_without_the_homeserver_cost_nothing(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    async with crossing(monkeypatch) as box:
        memory = await warm(box)
        box.home.goes(up=False)
        await three_days_of_talk(box, box.radio, count)
        assert len(box.home.shown) == ROOMS * 5
        is_small(box, memory)
        box.home.goes(up=True)
        assert await box.settled("home", ROOMS * 5 + count) == {"sent": ROOMS * 5 + count}
        has_all_in_order(box.home, box.radio)
        is_small(box, memory)


@pytest.mark.parametrize("count", [SOME, MANY])
async def test_after_three_days_without_the_radio_the_last_hours_go_out_and_the_rest_is_accounted_for(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    async with crossing(monkeypatch) as box:
        memory = await warm(box)
        box.radio.goes(up=False)
        ages = await three_days_of_talk(box, box.home, count)
        is_small(box, memory)
        box.radio.goes(up=True)
        states = await box.settled("radio", ROOMS * 5 + count)

        fresh = sum(age < EXPIRES_S - 60 for age in ages)
        went_out = len(box.radio.shown) - ROOMS * 5
        assert fresh <= went_out <= sum(age < EXPIRES_S + 60 for age in ages)
        assert sum(states.values()) == ROOMS * 5 + count
        assert set(states) <= {"sent", "expired", "folded"}
        assert states["sent"] >= went_out
        for n in range(ROOMS):
            said, shown = box.home.said_in(f"room{n}"), box.radio.shown_in(f"room{n}")
            assert shown == said[:5] + said[len(said) - (len(shown) - 5) :]
        is_small(box, memory)


@pytest.mark.parametrize("count", [SOME, MANY])
async def test_three_days_without_redis_cost_nothing(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="xb") as name:
        server = EmbeddedServer(Path(name) / "queue", Path(name) / "run")
        running_server = await start(server)
        async with crossing(monkeypatch, queue=server.url) as box:
            memory = await warm(box)
            await stop(server, running_server)
            await three_days_of_talk(box, box.radio, count)
            assert len(box.home.shown) == ROOMS * 5
            is_small(box, memory)
            assert await box.is_ready()
            running_server = await start(server)
            assert await box.settled("home", ROOMS * 5 + count) == {"sent": ROOMS * 5 + count}
            has_all_in_order(box.home, box.radio)
            is_small(box, memory)
        await stop(server, running_server)


@pytest.mark.parametrize("count", [SOME, MANY])
async def test_three_days_without_the_gateway_are_fetched_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    async with crossing(monkeypatch) as box:
        memory = await warm(box)
        await box.stop()
        await three_days_of_talk(box, box.home, count)
        await box.start()
        assert await box.settled("radio", ROOMS * 5 + count) == {"sent": ROOMS * 5 + count}
        has_all_in_order(box.radio, box.home)
        is_small(box, memory)


@pytest.mark.slow
async def test_a_gateway_process_that_was_away_fetches_everything_in_bounded_memory() -> None:
    count = 3000
    with tempfile.TemporaryDirectory(prefix="cb-") as name:
        box = Box(Path(name))
        box.say(count)
        async with running(box):
            while len(box.shown()) < count // 10:
                await asyncio.sleep(0.05)
            before = resident_of(box)
            most = before
            while box.process.poll() is None:
                most = max(most, resident_of(box) or most)
                await asyncio.sleep(0.05)
            await box.ended()
        box.check()
        assert most - before < MOST_MEMORY_BYTES


def resident_of(box: Box) -> int:
    """Return the memory of its process; 0 when it is gone."""
    try:
        text = Path(f"/proc/{box.process.pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS")), 0)
