# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole gateway with a bridge between boxes: what it tells them, and what it leaves to them."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from gateway import service
from gateway.config import load
from gateway.control import Control, NotRunning
from gateway.model import BridgeKind, LinkDown, Listen, NativeId, Said, Utterance
from gateway.registry import Registry
from tests.contract.delivery_desk import CHANNEL, ScriptedBridge
from tests.contract.test_speaking import LAN, MESH, CommonRadio, Others, heard

CONFIG = """\
[gateway]
name = "hilltop"
data_dir = "data"
[api]
listen = "127.0.0.1:0"
[bridges.radio]
kind = "radio"
[bridges.lan]
kind = "lan"
[[routes]]
name = "town"
join = ["radio/LongFast", "lan/town"]
"""


class Linked:
    """Is up, and yields what it is given."""

    def begin(self, name):
        self.name = name
        self.coming = asyncio.Queue()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def receive(self):
        while (message := await self.coming.get()) is not None:
            yield message
        raise LinkDown("it ends")


class LinkedRadio(Linked, CommonRadio):
    pass


class LinkedLan(Linked, Others, ScriptedBridge):
    def __init__(self):
        ScriptedBridge.__init__(self)
        Others.__init__(self)


@pytest.fixture
def config():
    with tempfile.TemporaryDirectory(prefix="cb-") as folder:  # a short path: it holds sockets
        path = Path(folder) / "crossband.toml"
        path.write_text(CONFIG)
        yield path


async def until(is_so):
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.02)


async def test_it_tells_the_others_and_leaves_to_them_what_they_say(config):
    radio, lan = LinkedRadio(), LinkedLan()
    radio.begin(CHANNEL.bridge)
    lan.begin(LAN.bridge)
    kinds = {"radio": radio, "lan": lan}
    registry = Registry(
        {
            name: lambda bridge=bridge: BridgeKind(create=lambda _: bridge, check=lambda _: frozenset())
            for name, bridge in kinds.items()
        }
    )
    settings = load(config, {}, registry=registry)
    control, stop = Control(settings.gateway.control_socket), asyncio.Event()

    async def states():
        try:
            found = await asyncio.to_thread(control.get, "/messages")
        except NotRunning:
            return []
        return [(one["to"], one["state"], one["reason"]) for each in found["messages"] for one in each["deliveries"]]

    async def become(*wanted):
        async with asyncio.timeout(20):
            while sorted(found := await states()) != sorted(wanted):
                await asyncio.sleep(0.05)
        return found

    async with asyncio.TaskGroup() as group:
        group.create_task(service.serve(settings, registry=registry, stop=stop))
        try:
            await until(lambda: frozenset({MESH}) in lan.served)

            lan.answer = lambda *_: Listen(for_s=0.05, reason="box valley speaks first")
            lan.coming.put_nowait(heard("web:valley/1", at=LAN))
            await become(("radio/LongFast", "queued", "box valley speaks first"))
            lan.answer = lambda *_: Said(by="valley", native_id=NativeId("mt:them:7"))
            gone = ("radio/LongFast", "cancelled", "already there: box valley said it")
            await become(gone)

            lan.echoes[NativeId("mt:them:7")] = Utterance(native_id=NativeId("web:valley/1"), where=MESH)
            radio.coming.put_nowait(heard("mt:them:7"))
            radio.coming.put_nowait(heard("mt:a1b2c301:9"))
            await become(gone, ("lan/town", "sent", ""))
            assert [message.said_in for message in lan.messages] == [MESH]
            assert [message.native_id for message in lan.messages] == ["mt:a1b2c301:9"]
            assert radio.sent == []
        finally:
            stop.set()
