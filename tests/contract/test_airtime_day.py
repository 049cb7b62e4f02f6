# SPDX-License-Identifier: GPL-3.0-or-later
"""Hours of three times as much to say as goes, through the gateway's own journal, intake, queue and delivery."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.model import Lane
from tests.bench.air_core import live
from tests.bench.air_day import Day, crowd

SILENT = 0xA1B2C301
EXPLAINED = frozenset({"sent", "waiting", "queued", "expired", "failed"})


@pytest.fixture(scope="module")
def day(tmp_path_factory) -> Day:
    """Somebody who is written to is out of range for most of an hour; later the channel is crowded for a while."""
    events = [
        (0.0, crowd(0.03)),
        (0.1, lambda mesh: mesh.isolate(SILENT)),
        (0.9, lambda mesh: mesh.rejoin(SILENT)),
        (1.2, crowd(0.6)),
        (1.25, crowd(0.03)),
    ]
    return live(tmp_path_factory.mktemp("day"), hours=1.5, seed=3, events=events)


def test_no_hour_has_more_than_its_budget(day):
    assert max(seconds for _, seconds in day.used()) <= 180 * 1.01
    assert day.goodput_ratio() >= 0.95


def test_emergencies_go_at_once_and_before_all_and_guests_after_all(day):
    assert not day.disorder
    assert len(day.emergency_waits_s()) >= 3
    assert max(day.emergency_waits_s()) < 10
    guests = [fate for fate in day.fates.values() if fate.delivery.lane is Lane.GUEST]
    assert sum(fate.state == "sent" for fate in guests) < len(guests) / 10


def test_of_everything_that_was_accepted_is_known_what_became_of_it(day):
    reasons = Counter((fate.state, fate.reason) for fate in day.fates.values())

    assert set(day.states) <= EXPLAINED, reasons
    assert day.states["sent"] > 200
    assert reasons["expired", "too old for this network"] > 100
    assert any(state == "failed" and "guests are not carried" in reason for state, reason in reasons), reasons
    assert any(state == "failed" and "did not acknowledge" in reason for state, reason in reasons), reasons
    assert not [key for key in reasons if key[0] in ("expired", "failed") and not key[1]]
