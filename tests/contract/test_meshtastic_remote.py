# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio that is reached over the network: rivals for its one place, connections that nobody ended, names."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bridges.meshtastic.connection import Tcp
from bridges.meshtastic.tcp import Address as Place
from bridges.meshtastic.tcp import Resolver, open_tcp
from gateway.model import LinkDown, TransientError
from tests.contract.harness import Reader
from tests.contract.harness_meshtastic import LONG_FAST, Air, air, bridge_on, said

KEY = "d1.0"


async def deliver(bridge, body: str) -> None:
    """Send under one key until it is taken, connecting anew whenever the link is lost."""
    for _ in range(10):
        with suppress(LinkDown):
            async with bridge, Reader(bridge) as reader:
                while reader.failure is None:
                    try:
                        await bridge.send(said(body), LONG_FAST, key=KEY)
                    except LinkDown:
                        break
                    except TransientError:
                        await bridge._context.clock.sleep(1.0)
                    else:
                        return
    pytest.fail("it was never taken")


async def test_a_text_whose_answer_went_with_the_connection_shows_once_though_the_node_forgot_its_id(tmp_path: Path):
    """The node sends it twice: it forgets ids with a TCP connection. Who has heard it passes over the second."""
    async with air(tmp_path, tcp=True) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            network.port.faults.lose_frame = 1.0
            with pytest.raises(TransientError):
                await bridge.send(said("once"), LONG_FAST, key=KEY)
            network.port.faults.lose_frame = 0.0
            network.port.unplug()
            await reader.until(lambda r: r.failure is not None)
        network.port.plug()
        await deliver(bridge, "once")
        network.mesh["RDGE"].say("end")
        await network.mesh["RIVR"].wait_text("end")

    assert network.port.firmware.counts["sent"] == 2
    assert network.port.firmware.counts["same_id"] == 0
    for name in ("RDGE", "MRKT", "RIVR"):
        assert [each.text for each in network.mesh[name].heard if each.sender == 0xA1B2C300] == ["once"]


async def test_a_connection_that_nobody_ended_is_noticed_and_made_anew_and_the_text_goes(tmp_path: Path):
    async with air(tmp_path, tcp=True) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            network.port.lose_peer()
            began = bridge._context.clock.monotonic()
            with pytest.raises(TransientError):
                await bridge.send(said("after all"), LONG_FAST, key=KEY)
            await reader.until(lambda r: r.failure is not None)
            took = bridge._context.clock.monotonic() - began
        assert "does not answer any more" in str(reader.failure)
        assert took < 20  # what was sent got no answer: no need to wait for 30 s of silence
        await deliver(bridge, "after all")
        await network.mesh["RIVR"].wait_text("after all")


@asynccontextmanager
async def app_that_comes_back(network: Air) -> AsyncIterator[None]:
    """Another client of the node, that connects again whenever it is dropped."""

    async def insist() -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", network.port.port)
                try:
                    while await reader.read(4096):
                        pass
                finally:
                    writer.close()
            await asyncio.sleep(0.05)

    insisting = asyncio.create_task(insist())
    try:
        yield
    finally:
        insisting.cancel()
        await asyncio.gather(insisting, return_exceptions=True)


async def test_another_client_that_takes_the_node_from_us_again_and_again_is_said_and_given_way(tmp_path: Path):
    async with air(tmp_path, tcp=True) as network, app_that_comes_back(network):
        bridge = bridge_on(network, tmp_path)
        losses: list[LinkDown] = []
        while len(losses) < 4:
            try:
                async with bridge, Reader(bridge) as reader:
                    await reader.until(lambda r: r.failure is not None)
                    assert reader.failure
                    losses.append(reader.failure)
            except LinkDown as error:
                losses.append(error)

    assert ["another client" in str(each) for each in losses] == [False, False, True, True]
    assert [each.retry_after_s for each in losses] == [None, None, 15.0, 30.0]


async def test_a_node_that_restarts_again_and_again_is_no_rival(tmp_path: Path):
    async with air(tmp_path, tcp=True) as network:
        bridge = bridge_on(network, tmp_path)
        for _ in range(4):
            async with bridge, Reader(bridge) as reader:
                network.port.unplug()
                await reader.until(lambda r: r.failure is not None)
            with pytest.raises(LinkDown, match="refused"):
                await bridge.__aenter__()
            network.port.plug()
            assert reader.failure
            assert reader.failure.retry_after_s is None


class SlowNames:
    """A resolver that answers when it is told to."""

    def __init__(self, found: Sequence[Place]) -> None:
        self.asked = 0
        self.may_answer = threading.Event()
        self._found = found

    def __call__(self, host: str, port: int) -> Sequence[Place]:
        self.asked += 1
        assert self.may_answer.wait(30)
        if not self._found:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._found


async def test_a_resolver_that_hangs_holds_up_nothing_and_is_asked_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bridges.meshtastic.tcp.LOOK_UP_WITHIN_S", 0.05)
    names = SlowNames([])
    resolver = Resolver(Tcp("node.local"), names)
    for _ in range(20):
        with pytest.raises(LinkDown, match="resolver does not answer"):
            await open_tcp(Tcp("node.local"), resolver)
    names.may_answer.set()
    monkeypatch.setattr("bridges.meshtastic.tcp.LOOK_UP_WITHIN_S", 5.0)
    with pytest.raises(LinkDown, match="name is not found"):
        await open_tcp(Tcp("node.local"), resolver)

    assert names.asked <= 2


async def test_a_host_is_found_where_it_was_while_its_name_can_not_be_looked_up(tmp_path: Path):
    async with air(tmp_path, tcp=True) as network:
        found: list[Place] = [(socket.AF_INET, ("127.0.0.1", network.port.port))]
        names = SlowNames(found)
        names.may_answer.set()
        where = Tcp("node.local", network.port.port)
        resolver = Resolver(where, names)
        (await open_tcp(where, resolver)).close()
        names._found = ()
        (await open_tcp(where, resolver)).close()

    assert names.asked == 2


async def test_an_address_that_takes_nothing_leaves_time_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bridges.meshtastic.tcp.CONNECT_WITHIN_S", 0.2)
    monkeypatch.setattr("bridges.meshtastic.tcp.LEAST_PER_ADDRESS_S", 0.1)
    async with air(tmp_path, tcp=True) as network:
        with full_listener() as dead:
            names = SlowNames([(socket.AF_INET, dead), (socket.AF_INET, ("127.0.0.1", network.port.port))])
            names.may_answer.set()
            where = Tcp("node.local", network.port.port)
            (await open_tcp(where, Resolver(where, names))).close()


class full_listener:  # noqa: N801 - used as a context manager
    """A port whose places are all taken: who connects waits."""

    def __enter__(self) -> tuple[str, int]:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(self._server.getsockname())
            self._waiting.append(one)
        host, port = self._server.getsockname()
        return host, port

    def __exit__(self, *_: object) -> None:
        for one in (*self._waiting, self._server):
            one.close()
