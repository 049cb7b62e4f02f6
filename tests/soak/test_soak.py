# SPDX-License-Identifier: GPL-3.0-or-later
"""`make soak`. `SOAK_SEED=N` repeats a run."""

from __future__ import annotations

import os
import random

import pytest

from tests.soak.line import Soak, soak

MOST_GROWTH_MIB = 8.0
"""From a tenth of the run to its end; the ledger's own share of 10,000 texts is about three."""


def a_seed() -> int:
    seed = int(os.environ.get("SOAK_SEED") or random.randrange(2**32))
    print(f"SOAK_SEED={seed}")
    return seed


def check(run: Soak, messages: int, ours: int) -> None:
    print(run)
    ledger = run.ledger
    assert len(ledger.texts) == messages
    assert not ledger.missing, f"{len(ledger.missing)} arrived whole and were not used"
    assert len(ledger.unsure) < messages / 5
    # A line that spoils nothing, or everything, shows nothing.
    assert 0.7 * messages < len(ledger.whole) < 0.98 * messages
    assert run.connected >= run.cuts > 0  # where the last message is said just after a cut, as many
    assert run.sent.total() == ours
    assert run.heard_far > 0.9 * ours
    assert run.counts["frame_failed"] == 0


async def test_every_frame_that_arrives_whole_over_a_bad_line_is_used(tmp_path):
    run = await soak(tmp_path, seed=a_seed(), messages=600, cut_every=400, ours=3)

    check(run, 600, 3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_ten_thousand_messages_over_a_bad_line_wedge_nothing_and_leave_no_memory_behind(tmp_path):
    run = await soak(tmp_path, seed=a_seed(), messages=10_000, cut_every=500, ours=60)

    check(run, 10_000, 60)
    assert run.rss_mib[-1] - run.rss_mib[0] < MOST_GROWTH_MIB
