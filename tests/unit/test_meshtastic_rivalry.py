# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from bridges.meshtastic.rivalry import LONGEST_PAUSE_S, SOON_S, Rivalry


def _closed(rivalry: Rivalry, *, at: float, after: float = 1.0) -> float | None:
    rivalry.connected(at)
    found = rivalry.closed(at + after)
    return None if found is None else found[1]


def test_a_rival_is_given_more_and_more_time():
    rivalry = Rivalry()

    assert [_closed(rivalry, at=100.0 * n) for n in range(9)] == [None, None, 15, 30, 60, 120, 240, 300, 300]
    assert LONGEST_PAUSE_S == 300


def test_a_connection_that_lasted_was_taken_by_nobody():
    rivalry = Rivalry()
    pauses = [_closed(rivalry, at=100.0 * n, after=SOON_S) for n in range(5)]

    assert pauses == [None] * 5


def test_a_node_that_refuses_between_is_one_that_restarts():
    rivalry = Rivalry()
    for n in range(5):
        assert _closed(rivalry, at=100.0 * n) is None
        rivalry.failed()
