# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's clock, as its stamps tell."""

from __future__ import annotations

from bridges.meshtastic.node_clock import STALE_S, NodeClock

NOW_MS = 1_800_000_000_000
NOW_S = NOW_MS // 1000


def clock() -> NodeClock:
    made = NodeClock()
    made.greeted(100.0)
    return made


def test_right_after_a_greeting_stamps_may_be_old_and_say_nothing():
    told = clock()
    told.heard(NOW_S - 3600, now=100.0 + STALE_S - 0.1, now_ms=NOW_MS)

    assert (told.off_s, told.is_unset) == (None, False)


def test_a_packet_that_waited_somewhere_makes_no_clock_late():
    told = clock()
    for off_s in (-500, 2, -60):
        told.heard(NOW_S + off_s, now=200.0, now_ms=NOW_MS)

    assert told.off_s == 2


def test_no_stamp_is_no_clock_until_there_is_one():
    told = clock()
    told.heard(0, now=200.0, now_ms=NOW_MS)
    assert (told.off_s, told.is_unset) == (None, True)
    told.heard(NOW_S, now=201.0, now_ms=NOW_MS)
    assert (told.off_s, told.is_unset) == (0, False)


def test_a_box_without_the_time_judges_nobodys():
    told = clock()
    told.heard(NOW_S, now=200.0, now_ms=5000)

    assert (told.off_s, told.is_unset) == (None, False)
