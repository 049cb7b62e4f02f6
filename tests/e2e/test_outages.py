# SPDX-License-Identifier: GPL-3.0-or-later
"""One side away, then back: everything arrives once and in order, and the gateway says meanwhile what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from tests.e2e.world import NEAR, World

LASTING_S = [5.0, pytest.param(62.0, marks=pytest.mark.slow)]
"""How long something is away: longer than anybody waits for an answer; and more than a minute."""


def queue_socket(world: World) -> str:
    return str(world.box.folder / "run" / "queue.sock")


@asynccontextmanager
async def queue_client(world: World) -> AsyncIterator[Redis]:
    client = Redis(unix_socket_path=queue_socket(world))
    try:
        yield client
    finally:
        await client.aclose()


async def queue_pid(world: World) -> int:
    async with queue_client(world) as client:
        return int((await client.info("server"))["process_id"])


async def say_in_room(world: World, *numbers: int) -> None:
    for number in numbers:
        await world.person.say(f"room {number}")


async def say_on_air(world: World, *numbers: int) -> None:
    for number in numbers:
        await world.radio.say(NEAR, f"air {number}")


async def has_arrived(world: World, room: int = 0, air: int = 0, *, timeout_s: float = 60.0) -> None:
    """Wait for the last of each, and see that all are there once and in order."""
    if room:
        await world.heard(f"Baker: room {room - 1}", timeout_s=timeout_s)
    if air:
        await world.seen(f"air {air - 1}", timeout_s=timeout_s)
    await asyncio.sleep(1.0)  # a second copy would show now
    assert world.all_heard() == [f"Baker: room {n}" for n in range(room)]
    assert world.all_seen() == [f"air {n}" for n in range(air)]


async def bridge(world: World, name: str) -> dict:
    bridges = (await world.box.ask("GET", "/api/v1/bridges")).json()
    return next(found for found in bridges if found["name"] == name)


async def journalled(world: World, number: int) -> None:
    """Wait until the gateway has accepted so many messages."""

    async def enough() -> bool:
        page = (await world.box.ask("GET", "/api/v1/messages?limit=500")).json()
        return len(page["messages"] if isinstance(page, dict) else page) >= number

    await world.box.wait_until(enough)


async def taken_in_from_air(world: World, number: int) -> None:
    """Wait until the gateway has on its disk what was said last on air: `air NUMBER - 1`.

    A radio hands each packet over once: what is on the line to a gateway that is killed nobody has any more.
    """

    async def all_of_it() -> bool:
        page = (await world.box.ask("GET", "/api/v1/messages?limit=500")).json()
        return f"air {number - 1}" in {message["text"] for message in page["messages"]}

    await world.box.wait_until(all_of_it)


@pytest.mark.parametrize("lasting_s", LASTING_S)
async def test_a_homeserver_that_was_away_gets_everything_when_it_is_back(own_world: World, lasting_s: float) -> None:
    world = own_world
    await say_on_air(world, 0)
    await world.seen("air 0")

    await world.synapse.kill()
    began = time.monotonic()
    await say_on_air(world, 1, 2, 3)

    async def is_noticed() -> bool:
        return (await bridge(world, "home"))["state"] != "up"

    await world.box.wait_until(is_noticed)
    assert (await bridge(world, "home"))["reason"]
    await taken_in_from_air(world, 4)
    await world.box.kill9()  # as if that were not enough
    await world.box.start(until="ready")
    await say_on_air(world, 4)
    await asyncio.sleep(max(0.0, lasting_s - (time.monotonic() - began)))
    await world.synapse.start()
    await say_in_room(world, 0)

    await has_arrived(world, room=1, air=5, timeout_s=90)


async def test_a_radio_that_was_unplugged_gets_what_was_queued_within_seconds_of_its_return(world: World) -> None:
    await say_in_room(world, 0)
    await world.heard("Baker: room 0")

    await world.mesh.unplug()
    await say_in_room(world, 1, 2, 3)

    async def is_noticed() -> bool:
        return (await bridge(world, "radio"))["state"] == "down"

    await world.box.wait_until(is_noticed)
    await world.mesh.plug()
    plugged = time.monotonic()

    async def is_back() -> bool:
        return (await bridge(world, "radio"))["state"] == "up"

    await world.box.wait_until(is_back)
    assert time.monotonic() - plugged < 5
    await has_arrived(world, room=4)
    (outage,) = (await world.box.ask("GET", "/api/v1/outages?kind=bridge&name=radio")).json()["outages"]
    assert outage["ended_ms"] > outage["began_ms"]
    assert outage["reason"]
    assert 0 < outage["late"] == outage["buffered"]


async def test_a_radio_that_reboots_in_the_middle_costs_nothing(world: World) -> None:
    await say_in_room(world, 0, 1)
    await world.heard("Baker: room 0")
    await world.mesh.call("reboot")
    await say_in_room(world, 2)

    await has_arrived(world, room=3)


async def test_a_gateway_killed_with_messages_in_every_place_loses_and_doubles_nothing(world: World) -> None:
    await say_in_room(world, 0, 1, 2)
    await say_on_air(world, 0, 1)
    await world.heard("Baker: room 0")
    await taken_in_from_air(world, 2)
    await world.box.kill9()
    await say_in_room(world, 3)
    await say_on_air(world, 2)
    await world.box.start()
    await say_in_room(world, 4)
    await say_on_air(world, 3)

    await has_arrived(world, room=5, air=4)


async def test_a_killed_queue_is_back_and_goes_on(world: World) -> None:
    await say_in_room(world, 0, 1)
    await say_on_air(world, 0)
    os.kill(await queue_pid(world), signal.SIGKILL)
    await say_in_room(world, 2)
    await say_on_air(world, 1)

    await has_arrived(world, room=3, air=2)


async def test_an_emptied_queue_is_filled_again_from_the_journal(world: World) -> None:
    await say_in_room(world, 0)
    await world.heard("Baker: room 0")
    await world.mesh.unplug()
    await say_in_room(world, 1, 2, 3)
    await journalled(world, 4)

    async with queue_client(world) as client:
        while not await client.dbsize():
            await asyncio.sleep(0.05)
        await client.flushall()
    await world.mesh.plug()

    await has_arrived(world, room=4)


@pytest.mark.parametrize("lasting_s", LASTING_S)
async def test_while_the_queue_hangs_the_gateway_keeps_receiving_and_says_so(world: World, lasting_s: float) -> None:
    await say_in_room(world, 0)
    await world.heard("Baker: room 0")
    pid = await queue_pid(world)
    os.kill(pid, signal.SIGSTOP)
    try:
        await say_in_room(world, 1, 2)
        await say_on_air(world, 0, 1)
        await journalled(world, 5)

        async def is_noticed() -> bool:
            return (await world.box.status())["queue"]["state"] == "down"

        await world.box.wait_until(is_noticed)
        assert await world.box.is_ready()
        await asyncio.sleep(lasting_s)
    finally:
        os.kill(pid, signal.SIGCONT)

    await has_arrived(world, room=3, air=2)


async def test_a_gateway_starts_with_every_side_down_and_each_comes_up_when_it_can(own_world: World) -> None:
    world = own_world
    await world.box.stop()
    await world.mesh.unplug()
    await world.synapse.stop()

    await world.box.start(until="ready")

    for name in ("home", "radio"):
        found = await bridge(world, name)
        assert found["state"] != "up"
        assert found["reason"]
    await world.mesh.plug()
    await say_on_air(world, 0)
    await world.synapse.start()
    await say_in_room(world, 0)
    await has_arrived(world, room=1, air=1)


async def test_a_gateway_told_to_stop_ends_with_zero_though_an_event_stream_is_open(world: World) -> None:
    reader, writer = await asyncio.open_unix_connection(str(world.box.folder / "run" / "control.sock"))
    writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await writer.drain()
    assert b"200" in await reader.readline()

    code = await world.box.stop()

    assert code == 0, "or it had to be killed"
    writer.close()


async def test_a_bridge_whose_login_is_refused_stops_alone(world: World) -> None:
    await world.box.stop()
    token = world.box.folder / "secrets" / "matrix.token"
    token.write_text("syt_not_a_token\n")
    await world.box.start(until="ready")

    async def is_stopped() -> bool:
        return (await bridge(world, "home"))["state"] == "stopped"

    await world.box.wait_until(is_stopped)

    async def radio_is_up() -> bool:
        return (await bridge(world, "radio"))["state"] == "up"

    await world.box.wait_until(radio_is_up)
    assert world.box.pid is not None
