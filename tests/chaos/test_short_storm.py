# SPDX-License-Identifier: GPL-3.0-or-later
"""Short storms of fixed seeds, for every `make test`; `make chaos` has the long ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos import disk, fast, real, report
from tests.chaos.act import Outcome, Wish
from tests.chaos.faults import FAULTS
from tests.chaos.real_faults import REAL_FAULTS
from tests.services import synapse_or_skip

SHORT_REAL = {
    "gateway_kill",
    "valkey_kill",
    "synapse_kill",
    "radio_unplug",
    "radio_reboot",
    "line_lossy",
    "aof_emptied",
}
"""What the short real storm has; the others only take longer."""


def wish(folder: Path, **wanted) -> Wish:
    return replace(Wish(leg="fast", seed="make test", seconds=5.0, folder=folder, rate=120.0), **wanted)


def words(outcome: Outcome) -> str:
    found = report.as_json([outcome], seed=outcome.wish.seed, minutes=0)
    return f"{report.table(found)}\n{report.line(found)}"


@pytest.mark.timeout(300)
async def test_a_storm_over_the_core_loses_doubles_and_reorders_nothing(tmp_path: Path) -> None:
    outcome = await fast.play(wish(tmp_path, disk=not disk.why_not()))

    assert outcome.is_clean, words(outcome)
    assert outcome.total.accepted > 100
    assert set(outcome.act.faults) >= set(FAULTS) - {"disk_full"}


async def test_a_gateway_that_breaks_its_promise_does_not_pass(tmp_path: Path) -> None:
    outcome = await fast.play(wish(tmp_path, seconds=2.0, rate=300.0, breaks="double", without=tuple(FAULTS)))

    assert outcome.total.doubled > 0
    assert not outcome.is_clean


@pytest.mark.timeout(300)
async def test_a_storm_over_homeserver_and_radio_loses_doubles_and_reorders_nothing(tmp_path: Path) -> None:
    synapse_or_skip()
    without = tuple(set(REAL_FAULTS) - SHORT_REAL)
    outcome = await real.play(wish(tmp_path, leg="real", seconds=4.0, most_on_its_way=8, without=without))

    assert outcome.is_clean, words(outcome)
    assert outcome.total.accepted > 20
    assert set(outcome.act.faults) == SHORT_REAL


def test_the_last_line_says_it_all_and_what_broke_shows(tmp_path: Path) -> None:
    found = report.as_json([], seed="s", minutes=1)

    assert report.line(found) == "chaos: messages 0, faults 0, lost 0, doubled 0, out of order 0"


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_every_way_to_break_a_promise_shows(tmp_path: Path) -> None:
    for breaks, figure in (("lose", "lost"), ("swap", "out_of_order"), ("forget", "doubled")):
        folder = tmp_path / breaks
        folder.mkdir()
        outcome = await fast.play(wish(folder, seconds=10.0, breaks=breaks))
        assert getattr(outcome.total, figure) > 0, breaks
