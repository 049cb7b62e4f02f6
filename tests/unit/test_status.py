# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.status: the hub that tells everyone what happens."""

from __future__ import annotations

import asyncio

import pytest

from gateway.status import Event, EventHub, TooManySubscribers


def _event(number: int) -> Event:
    return Event(name="tick", data={"n": number})


async def test_every_subscriber_gets_every_event_in_order() -> None:
    hub = EventHub()
    with hub.subscribe() as one, hub.subscribe() as two:
        for number in range(3):
            hub.publish(_event(number))

        assert [(await anext(one)).data["n"] for _ in range(3)] == [0, 1, 2]
        assert [(await anext(two)).data["n"] for _ in range(3)] == [0, 1, 2]


async def test_a_slow_listener_loses_the_oldest_and_is_told() -> None:
    hub = EventHub(pending=2)
    with hub.subscribe() as slow:
        for number in range(5):
            hub.publish(_event(number))

        assert await anext(slow) == Event(name="dropped", data={"count": 3})
        assert (await anext(slow)).data["n"] == 3
        assert (await anext(slow)).data["n"] == 4


async def test_waiting_may_be_cancelled_without_losing_an_event() -> None:
    hub = EventHub()
    with hub.subscribe() as one:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(one)
        hub.publish(_event(1))

        assert (await anext(one)).data["n"] == 1


async def test_closing_ends_every_stream_after_what_it_holds() -> None:
    hub = EventHub()
    one = hub.subscribe()
    waiting = asyncio.create_task(_all(hub.subscribe()))
    await asyncio.sleep(0)
    hub.publish(_event(1))
    hub.close()

    assert [event.data["n"] async for event in one] == [1]
    assert len(await waiting) == 1
    assert [event async for event in hub.subscribe()] == []


async def _all(stream: object) -> list[Event]:
    return [event async for event in stream]  # type: ignore[attr-defined]


async def test_places_are_bounded_and_given_back() -> None:
    hub = EventHub(subscribers=1)
    with hub.subscribe(), pytest.raises(TooManySubscribers):
        hub.subscribe()

    hub.subscribe()
