# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts that come late: after a restart of the gateway, or never, after one of the radio."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridges.sim import Settings
from bridges.sim.airtime import PRESETS, airtime_s, retry_wait_s
from gateway.model import Certainty, Report, TransientError
from tests.contract.harness import Reader
from tests.contract.harness_meshtastic import LONG_FAST, MARKET, air, bridge_on, said


def reported(reader: Reader, certainty: Certainty) -> bool:
    return any(report.outcome is certainty for report in reader.reports)


async def test_a_verdict_that_comes_after_a_restart_of_the_gateway_reaches_its_delivery(tmp_path: Path):
    async with air(tmp_path) as network:
        network.mesh.isolate("HILL")
        before = bridge_on(network, tmp_path)
        async with before, Reader(before):
            receipt = await before.send(said("psst"), MARKET, key="d1.0")
        network.mesh.rejoin("HILL")
        await network.mesh["MRKT"].wait_text("psst")
        after = bridge_on(network, tmp_path)
        async with after, Reader(after) as reader:
            await reader.until(lambda r: reported(r, Certainty.DELIVERED))

    assert receipt.certainty is Certainty.SENT
    assert {report.key for report in reader.reports} == {"d1.0"}


async def test_a_refusal_that_comes_after_a_restart_of_the_gateway_is_tried_again_under_a_fresh_key(tmp_path: Path):
    async with air(tmp_path, scale=60) as network:
        network.mesh.isolate("HILL")
        before = bridge_on(network, tmp_path, scale=60)
        async with before, Reader(before):
            await before.send(said("psst"), MARKET, key="d1.0")
        after = bridge_on(network, tmp_path, scale=60)
        async with after, Reader(after) as reader:
            await reader.until(lambda r: r.reports)

    (report,) = reader.reports
    assert report.key == "d1.0"
    assert isinstance(report.outcome, TransientError)
    assert report.outcome.fresh_key


async def test_killed_before_the_receipt_was_stored_the_same_key_is_answered_and_not_sent_again(tmp_path: Path):
    async with air(tmp_path) as network:
        network.mesh.isolate("HILL")
        before = bridge_on(network, tmp_path)
        async with before, Reader(before):
            first = await before.send(said("once"), LONG_FAST, key="d1.0")
        after = bridge_on(network, tmp_path)
        async with after, Reader(after):
            second = await after.send(said("once"), LONG_FAST, key="d1.0")

    assert second == first
    assert network.port.firmware.counts["sent"] == 1
    assert network.port.firmware.counts["same_id"] == 0


async def test_what_a_radio_forgot_at_its_restart_goes_again_under_its_id_and_shows_once(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            heard = await bridge.send(said("heard before"), LONG_FAST, key="d1.0")
            await reader.until(lambda r: r.reports or heard.certainty is Certainty.HEARD)
            network.mesh.isolate("HILL")
            await bridge.send(said("forgotten"), LONG_FAST, key="d2.0")
            network.port.reboot()
            network.mesh.rejoin("HILL")
            await reader.until(lambda r: any(report.key == "d2.0" for report in r.reports))
            again = next(report for report in reader.reports if report.key == "d2.0")
            await bridge.send(said("forgotten"), LONG_FAST, key="d2.0")
            await network.mesh["MRKT"].wait_text("forgotten")

    assert again == Report(key="d2.0", outcome=again.outcome)
    assert isinstance(again.outcome, TransientError)
    assert not again.outcome.fresh_key
    assert "restarted" in str(again.outcome)
    texts = [each.text for each in network.mesh["RDGE"].heard]
    assert (texts.count("heard before"), texts.count("forgotten")) == (1, 1)
    assert not any(report.key == "d1.0" and isinstance(report.outcome, TransientError) for report in reader.reports)


@pytest.mark.parametrize("preset", ["SHORT_FAST", "LONG_FAST", "LONG_SLOW"])
async def test_nobody_hearing_it_is_said_within_the_time_that_was_named_for_it(tmp_path: Path, preset: str):
    scale = 100
    on_air_s = airtime_s(PRESETS[preset], 100)
    async with air(tmp_path, scale=scale, settings=Settings(preset=preset)) as network:
        network.mesh.isolate("HILL")
        bridge = bridge_on(network, tmp_path, scale=scale)
        async with bridge, Reader(bridge) as reader:
            to = LONG_FAST.__class__(LONG_FAST.bridge, "#0")
            began = bridge._context.clock.monotonic()
            receipt = await bridge.send(said("x" * 100), to, key="d1.0")
            await reader.until(lambda r: r.reports)
            took_s = bridge._context.clock.monotonic() - began

    assert receipt.more_within_s is not None
    assert receipt.more_within_s >= 2 * 3 * retry_wait_s(PRESETS[preset], on_air_s)
    assert took_s < receipt.more_within_s
