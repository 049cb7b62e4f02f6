# SPDX-License-Identifier: GPL-3.0-or-later
"""Direct messages where one node lacks the other's key: it is asked for, on air and seldom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.sim.people import SimNode
from gateway.model import BridgeError, Certainty, LinkDown, NotThere, Receipt, Rejected, Report
from tests.contract.harness import Reader
from tests.contract.harness_meshtastic import MARKET, Air, air, bridge_on, said

PACE_S = 30.0
"""Where minutes pass in a second: a busy machine must not come too soon for the radio's limit of 2 s."""


class Writer:
    """Does what the core does with one direct message: tries again as the bridge wants it, under a key of its own."""

    def __init__(self, network: Air, bridge: MeshtasticBridge, reader: Reader, name: str = "d1") -> None:
        self._network = network
        self.bridge = bridge
        self._reader = reader
        self._name = name
        self._generation = 0
        self.reasons: list[str] = []

    def of(self, name: str) -> Writer:
        """Return the same for another message."""
        return Writer(self._network, self.bridge, self._reader, name)

    async def send(self, body: str) -> Receipt | Report | BridgeError:
        """Send it once; return its last word, or why it has to be tried again."""
        key = f"{self._name}.{self._generation}"
        try:
            receipt = await self.bridge.send(said(body), MARKET, key=key)
        except BridgeError as error:
            return self._refused(error)
        if receipt.certainty is Certainty.DELIVERED:
            return receipt
        await self._reader.until(lambda r: any(_is_last(report, key) for report in r.reports))
        report = next(report for report in self._reader.reports if _is_last(report, key))
        return self._refused(report.outcome) if isinstance(report.outcome, BridgeError) else report

    async def until_over(self, body: str, *, every_s: float) -> Receipt | Report | BridgeError:
        """Try it until it arrived or never will."""
        while True:
            outcome = await self.send(body)
            if not isinstance(outcome, NotThere):
                return outcome
            await self.bridge._context.clock.sleep(every_s)

    async def until_appeared(self) -> None:
        async with asyncio.timeout(20):
            while MARKET.conversation not in self._network.appeared:
                await asyncio.sleep(0.01)

    def _refused(self, error: BridgeError) -> BridgeError:
        self._generation += getattr(error, "fresh_key", False)
        if not self.reasons or self.reasons[-1] != str(error):
            self.reasons.append(str(error))
        return error


def _is_last(report: Report, key: str) -> bool:
    return report.key == key and report.outcome is not Certainty.HEARD


@asynccontextmanager
async def writing(network: Air, folder: Path, *, pace_s: float | None = None) -> AsyncIterator[Writer]:
    """A bridge that is up, and somebody who sends through it."""
    bridge = bridge_on(network, folder) if pace_s is None else bridge_on(network, folder, pace_s=pace_s)
    async with bridge, Reader(bridge) as reader:
        yield Writer(network, bridge, reader)


def nodes(network: Air) -> tuple[SimNode, SimNode]:
    return network.mesh["HILL"], network.mesh["MRKT"]


async def test_a_node_whose_key_we_lack_is_asked_and_what_waits_goes_as_soon_as_it_answered(tmp_path: Path):
    async with air(tmp_path) as network:
        own, market = nodes(network)
        own.radio.strangers.add(market.number)
        async with writing(network, tmp_path) as writer:
            first = await writer.send("psst")
            await writer.until_appeared()
            second = await writer.send("psst")
            heard = await market.wait_text("psst")

    assert isinstance(first, NotThere)
    assert "does not know that node's key" in str(first)
    assert not isinstance(second, BridgeError)
    assert heard.is_direct
    assert market.introductions.asked == 1
    assert [each.text for each in market.heard].count("psst") == 1


async def test_a_node_that_lacks_our_key_is_told_it_and_what_waits_goes_as_soon_as_it_heard(tmp_path: Path):
    async with air(tmp_path) as network:
        own, market = nodes(network)
        market.radio.strangers.add(own.number)
        async with writing(network, tmp_path) as writer:
            first = await writer.send("psst")
            await writer.until_appeared()
            second = await writer.send("psst")

    assert isinstance(first, NotThere)
    assert "that node does not know our radio's key yet: it is being told" in str(first)
    assert not isinstance(second, BridgeError)
    assert own.number not in market.radio.strangers
    assert network.counts["key_asked"] == 1


async def test_nothing_is_put_on_air_for_a_node_that_was_not_told_yet(tmp_path: Path):
    async with air(tmp_path) as network:
        own, market = nodes(network)
        market.radio.strangers.add(own.number)
        async with writing(network, tmp_path) as writer:
            await writer.send("psst")
            network.mesh.isolate("HILL")
            sent = network.port.firmware.counts["sent"]
            for _ in range(3):
                with pytest.raises(NotThere, match="told") as refused:
                    await writer.bridge.send(said("psst"), MARKET, key="d1.9")
                assert not refused.value.fresh_key, "it was not used"
            await writer.bridge._context.clock.sleep(10)

    # The packet that tells it, and no text.
    assert network.port.firmware.counts["sent"] - sent <= 1


@pytest.mark.virtual_time
async def test_a_node_that_described_itself_to_others_lately_answers_the_next_time(tmp_path: Path):
    """It does so once in 600 s, whoever asks."""
    async with air(tmp_path, tcp=True) as network:
        own, market = nodes(network)
        network.mesh.isolate("HILL")
        market.introduce()
        own.radio.strangers.add(market.number)
        async with writing(network, tmp_path, pace_s=PACE_S) as writer:
            await writer.bridge._context.clock.sleep(20)
            network.mesh.rejoin("HILL")
            over = await writer.until_over("psst", every_s=60)

    assert not isinstance(over, BridgeError)
    assert market.introductions.asked == 2


@pytest.mark.virtual_time
async def test_a_node_that_never_tells_its_key_fails_the_message_in_words_after_three_asks(tmp_path: Path):
    async with air(tmp_path, tcp=True) as network:
        own, market = nodes(network)
        own.radio.strangers.add(market.number)
        market.introductions.answers = False
        async with writing(network, tmp_path, pace_s=PACE_S) as writer:
            over = await writer.until_over("psst", every_s=120)
            again = await writer.of("d2").send("another")

    assert isinstance(over, Rejected)
    assert str(over) == "our radio does not know that node's key: asked 3 times, no answer in 30 min"
    assert isinstance(again, Rejected), "it is not asked again for hours"
    assert market.introductions.asked == 3
    assert [reason.partition(": ")[2] for reason in writer.reasons[:-1]] == [
        "it is being asked",
        "asked for it 1 of 3 times",
        "asked for it 2 of 3 times",
        "asked for it 3 of 3 times",
    ]


async def test_a_node_without_a_key_is_said_to_have_none(tmp_path: Path):
    async with air(tmp_path) as network:
        own, market = nodes(network)
        own.radio.strangers.add(market.number)
        market.introductions.has_key = False
        async with writing(network, tmp_path) as writer:
            await writer.send("psst")
            await writer.until_appeared()
            over = await writer.send("psst")

    assert isinstance(over, Rejected)
    assert "has no key" in str(over)


@pytest.mark.virtual_time
async def test_many_nodes_without_keys_are_asked_half_a_minute_apart(tmp_path: Path):
    async with air(tmp_path, tcp=True) as network:
        own, _ = nodes(network)
        far = [network.mesh[name] for name in ("RDGE", "MRKT", "RIVR")]
        bridge = bridge_on(network, tmp_path, pace_s=10.0)
        asked_at: list[float] = []
        for node in far:
            own.radio.strangers.add(node.number)
            node.introductions.answers = False
            node.on_heard.append(lambda _, heard: asked_at.append(heard.at_s) if heard.is_direct else None)
        async with bridge, Reader(bridge):
            for index, node in enumerate(far):
                to = MARKET.__class__(MARKET.bridge, node.identity.id)
                with pytest.raises(NotThere):
                    await bridge.send(said("psst"), to, key=f"d{index}.0")
            async with asyncio.timeout(20):
                while len(asked_at) < len(far):
                    await asyncio.sleep(0.01)

    assert min(later - earlier for earlier, later in pairwise(asked_at)) > 20


async def test_who_was_to_be_asked_when_the_radio_went_is_asked_when_it_is_back(tmp_path: Path):
    async with air(tmp_path) as network:
        own, market = nodes(network)
        own.radio.strangers.add(market.number)
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            await Writer(network, bridge, reader).send("psst")
            network.port.unplug()
            await reader.until(lambda r: r.failure is not None)
            with pytest.raises(LinkDown):
                await bridge.send(said("psst"), MARKET, key="d1.1")
        network.port.plug()
        async with bridge, Reader(bridge) as reader:
            writer = Writer(network, bridge, reader, "d2")
            over = await writer.until_over("psst", every_s=15)

    assert not isinstance(over, BridgeError)
