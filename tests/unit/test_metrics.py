# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from gateway.metrics import Metrics
from gateway.model import BridgeName, State

HOME = BridgeName("home")


def test_what_was_never_counted_is_not_there_and_a_counter_without_labels_is_zero():
    registry = Metrics().registry

    assert registry.get_sample_value("crossband_messages_received_total", {"bridge": "home"}) is None
    assert registry.get_sample_value("crossband_clock_steps_total") == 0


def test_changes_are_counted_by_bridge_and_state():
    metrics = Metrics()
    for state in (State.SENT, State.SENT, State.FAILED):
        metrics.changed(HOME, state)
    found = {
        state: metrics.registry.get_sample_value("crossband_delivery_changes_total", {"bridge": "home", "state": state})
        for state in ("sent", "failed")
    }

    assert found == {"sent": 2, "failed": 1}


@pytest.mark.parametrize(("up_to", "count"), [("0.05", 2), ("0.1", 3), ("5.0", 4), ("604800.0", 4), ("+Inf", 5)])
def test_a_duration_counts_in_every_bucket_that_is_not_shorter(up_to, count):
    metrics = Metrics()
    for seconds in (-1.0, 0.05, 0.0501, 2.6, 1e9):
        metrics.sent(HOME, seconds)
    sample = metrics.registry.get_sample_value

    assert sample("crossband_message_delivery_seconds_bucket", {"bridge": "home", "le": up_to}) == count
    assert sample("crossband_message_delivery_seconds_count", {"bridge": "home"}) == 5
    assert sample("crossband_message_delivery_seconds_sum", {"bridge": "home"}) == pytest.approx(1e9 + 2.7001)
