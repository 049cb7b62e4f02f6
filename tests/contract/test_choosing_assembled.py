# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole gateway on its own embedded queue, with a radio that says what goes next, stopped in the middle."""

import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway import service
from gateway.config import load
from gateway.control import Control, NotRunning
from gateway.model import BridgeKind, Go, Hold, LinkDown, Refuse
from gateway.registry import Registry
from tests.contract.scheduling import SchedulingBridge, only_emergencies

CONFIG = """\
[gateway]
name = "hilltop"
data_dir = "data"
[api]
listen = "127.0.0.1:0"
[bridges.radio]
kind = "narrow"
[emergency]
words = ["SOS"]
"""
BUSY = Hold(for_s=3600, reason="the channel is busy: 31 %")


class NarrowBridge(SchedulingBridge):
    """A radio that hears nothing."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def receive(self):
        await asyncio.Event().wait()
        raise LinkDown("never")
        yield


def refuse_guests_and_serve_the_hill_first(waiting):
    """As a radio does that has a reply for the hill, and no room for one of them."""
    for one in waiting:
        if "refuse me" in one.delivery.message.content.body:
            return Refuse(id=one.delivery.id, reason="not above 40 %")
    return Go(id=min(waiting, key=lambda one: one.delivery.to.conversation).delivery.id)


class Box:
    """One gateway's folder, and what is asked of whichever runs there."""

    def __init__(self, folder):
        self.config = folder / "crossband.toml"
        self.config.write_text(CONFIG)

    @asynccontextmanager
    async def running(self, bridge):
        kind = BridgeKind(create=lambda _: bridge, check=lambda _: frozenset())
        registry = Registry({"narrow": lambda: kind})
        settings = load(self.config, {}, registry=registry)
        self.control = Control(settings.gateway.control_socket)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(service.serve(settings, registry=registry, stop=stop))
            try:
                await self.until(lambda: self.get("/status"), lambda found: found["ready"])
                yield
            finally:
                stop.set()

    async def get(self, path, **query):
        return await asyncio.to_thread(self.control.get, path, **query)

    async def say(self, text, to):
        said = await asyncio.to_thread(self.control.post, "/messages", {"text": text, "to": f"radio/{to}"})
        return said["id"]

    async def delivery(self, message):
        (found,) = (await self.get(f"/messages/{message}"))["deliveries"]
        return found

    async def until(self, ask, is_so):
        async with asyncio.timeout(20):
            while True:
                try:
                    if is_so(found := await ask()):
                        return found
                except NotRunning:
                    pass
                await asyncio.sleep(0.05)

    async def becomes(self, message, state):
        return await self.until(lambda: self.delivery(message), lambda found: found["state"] == state)


@pytest.fixture
def box():
    with tempfile.TemporaryDirectory(prefix="cb-") as folder:  # a short path: it holds sockets
        yield Box(Path(folder))


async def test_order_holds_refusals_and_an_emergency_across_a_restart(box):
    bridge = NarrowBridge()
    bridge.rule = only_emergencies(BUSY)
    async with box.running(bridge):
        town = [await box.say(text, "Town") for text in ("town 1", "town 2")]
        guest = await box.say("refuse me", "Guests")
        hill = [await box.say(text, "Hill") for text in ("hill 1", "hill 2")]
        held = await box.until(lambda: box.delivery(hill[1]), lambda one: one["waits_for"] and one["state"] == "queued")
        urgent = await box.say("SOS on the ridge", "Town")
        await box.becomes(urgent, "sent")
        (radio,) = (await box.get("/status"))["bridges"]
        (row,) = (await box.get("/queue"))["destinations"]

    assert bridge.texts == ["🚨 SOS on the ridge"]
    assert (held["waits_for"], held["reason"]) == (BUSY.reason, "")
    assert (radio["airtime"]["held"], radio["airtime"]["waiting"], radio["airtime"]["drain_s"]) == (BUSY.reason, 5, 100)
    assert (row["waits_for"], row["waiting"]) == (BUSY.reason, 5)

    bridge = NarrowBridge()
    bridge.rule = refuse_guests_and_serve_the_hill_first
    async with box.running(bridge):
        refused = await box.becomes(guest, "failed")
        await box.becomes(town[1], "sent")
        letters = (await box.get("/dead-letters"))["dead_letters"]
        (radio,) = (await box.get("/status"))["bridges"]

    assert bridge.texts == ["hill 1", "hill 2", "town 1", "town 2"]
    assert refused["reason"] == "not above 40 %"
    assert [one["message"] for one in letters] == [guest]
    assert (radio["airtime"]["held"], radio["airtime"]["refused"], radio["airtime"]["waiting"]) == ("", 1, 0)
