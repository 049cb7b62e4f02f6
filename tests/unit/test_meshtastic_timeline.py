# SPDX-License-Identifier: GPL-3.0-or-later
"""When things were heard, whatever the box's clock shows."""

from __future__ import annotations

from bridges.meshtastic.timeline import Instant, Timeline
from gateway.clock import ManualClock
from gateway.model import NEVER_SET_MS

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def followed(clock: ManualClock, ms: int) -> None:
    clock.step(ms)
    clock.adopt(clock.measure())


def test_what_was_heard_in_this_run_keeps_its_age_when_the_clock_is_set():
    clock = ManualClock(start_ms=5000)
    timeline = Timeline(clock)
    heard = timeline.now()
    clock.advance(60)
    followed(clock, NOW_MS)

    assert timeline.wall_ms(heard) == clock.now_ms() - 60_000


def test_what_is_kept_comes_before_all_that_is_heard_now_also_while_the_clock_was_never_set():
    clock = ManualClock(start_ms=5000)
    timeline = Timeline(clock)
    older, newer = timeline.kept(NOW_MS - HOUR_MS), timeline.kept(NOW_MS)
    clock.advance(1)
    heard = timeline.now()

    assert sorted([heard, newer, older], key=timeline.order) == [older, newer, heard]
    assert timeline.order(None) < timeline.order(older)
    assert timeline.wall_ms(newer) is None, "this clock can't tell"
    followed(clock, NOW_MS + HOUR_MS)
    assert timeline.wall_ms(newer) == NOW_MS
    assert sorted([heard, newer, older], key=timeline.order) == [older, newer, heard]


def test_a_clock_that_was_never_set_counts_on_from_what_is_kept():
    clock = ManualClock(start_ms=5000)
    timeline = Timeline(clock)
    kept = timeline.kept(NOW_MS)
    clock.advance(1)
    first = timeline.now()
    clock.advance(1)

    assert NOW_MS == timeline.to_keep(kept) < timeline.to_keep(first) < timeline.to_keep(timeline.now())
    assert Timeline(clock).to_keep(Instant(at_s=clock.monotonic())) > NEVER_SET_MS


def test_times_by_others_clocks_are_taken_only_if_they_can_be():
    clock = ManualClock(start_ms=NOW_MS)
    timeline = Timeline(clock)

    assert [timeline.at(ms) for ms in (0, 86_400_000, NOW_MS + 1)] == [None, None, None]
    known = timeline.at(NOW_MS - HOUR_MS)
    assert known is not None
    assert timeline.wall_ms(known) == NOW_MS - HOUR_MS
    assert timeline.age_s(known) == 3600
    assert Timeline(ManualClock(start_ms=5000)).at(NOW_MS) is None
