# SPDX-License-Identifier: GPL-3.0-or-later
"""A line has the time it was said, whichever box has a clock that is right; none is lost or held up for a wrong one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.lan.entries import Said
from bridges.lan.event import Event, FeedId
from bridges.lan.hlc import COUNTS
from bridges.lan.store import Arrived
from bridges.lan.times import since_when, when_had, when_said
from gateway.model import NEVER_SET_MS, NativeId, Sender, SenderId, Text

NOW = 1_795_701_720_000
HOUR = 3_600_000
DAY = 24 * HOUR
SAID = Said(
    native=NativeId("web:1:1"),
    room="town",
    sender=Sender(id=SenderId("~ali@valley"), name="ali"),
    content=Text(body="hello"),
    said_ms=NOW,
)


def said(at_ms: int, late_ms: int = 0) -> Said:
    return replace(SAID, said_ms=at_ms, late_ms=late_ms)


def arrived(stamp_ms: int, stored_ms: int = NOW) -> Arrived:
    event = Event(
        feed=FeedId("f"), seq=1, hlc=stamp_ms * COUNTS + 3, previous=b"", native="web:1:1", body="", signature=b""
    )
    return Arrived(arrival=1, event=event, stored_ms=stored_ms)


def test_a_line_is_said_when_the_box_that_logged_it_says() -> None:
    assert when_said(said(NOW - DAY), arrived(NOW - HOUR), NOW) == NOW - DAY
    assert when_had(said(NOW - DAY), arrived(NOW - DAY), NOW) == NOW - DAY


def test_what_its_network_kept_for_a_day_is_as_old_as_the_box_has_it() -> None:
    late = said(NOW - DAY - 5000, late_ms=DAY)
    assert when_said(late, arrived(NOW - 5000), NOW) == NOW - DAY - 5000
    assert when_had(late, arrived(NOW - 5000), NOW) == since_when(late, arrived(NOW - 5000), NOW) == NOW - 5000


@pytest.mark.parametrize("ahead_ms", [1, 40, 5000, 60_000, 60_001, HOUR, 40 * DAY])
def test_a_line_of_a_box_whose_clock_is_ahead_of_ours_is_said_just_now(ahead_ms: int) -> None:
    ahead = arrived(NOW + ahead_ms)
    for tell in (when_said, when_had, since_when):
        assert tell(said(NOW + ahead_ms), ahead, NOW) == NOW


def test_a_line_of_a_box_in_1970_is_as_old_as_it_is_here_though_its_stamp_is_of_yesterday() -> None:
    # The last it heard of the time was a line of yesterday evening.
    line, came = said(90_000), arrived(NOW - 14 * HOUR)
    assert when_said(line, came, NOW + 40) == when_had(line, came, NOW + 40) == NOW


def test_what_a_box_in_1970_said_long_ago_is_no_news_to_one_that_joins() -> None:
    assert since_when(said(90_000), arrived(NOW - 14 * DAY), NOW) == NOW - 14 * DAY
    assert since_when(said(90_000), arrived(90_000), NOW) == NOW


def test_a_box_in_1970_shows_the_time_that_others_tell_and_takes_their_lines_for_fresh() -> None:
    own = 120_000
    assert when_said(said(NOW), arrived(NOW, stored_ms=own), own) == NOW
    assert when_had(said(NOW), arrived(NOW, stored_ms=own), own) == own
    assert when_said(said(90_000), arrived(90_000, stored_ms=own), own) == own


def test_boxes_that_never_had_a_clock_have_their_own_time() -> None:
    assert when_had(said(90_000), arrived(90_000, stored_ms=90_100), 120_000) == 120_000


@given(st.integers(0, 2**45), st.integers(0, 2**45), st.integers(0, 2**45), st.integers(0, 2**45), st.integers(0, DAY))
def test_nothing_is_from_the_future_and_nothing_is_said_after_it_was_had(
    said_ms: int, stamp_ms: int, stored_ms: int, now_ms: int, late_ms: int
) -> None:
    line, came = said(said_ms, late_ms), arrived(stamp_ms, stored_ms)
    had_ms = when_had(line, came, now_ms)
    assert since_when(line, came, now_ms) <= had_ms <= now_ms
    assert when_said(line, came, now_ms) <= had_ms or now_ms < NEVER_SET_MS
