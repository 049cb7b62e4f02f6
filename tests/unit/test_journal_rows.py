# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.records import StateChange
from gateway.journal.rows import MOST_REASON, WHOLE_HISTORY, clean, history, line, shifted, tried_ms
from gateway.model import State

changes = st.builds(
    StateChange,
    at_ms=st.integers(0, 2**45),
    state=st.sampled_from(State),
    reason=st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=MOST_REASON),
)


@given(st.lists(changes, max_size=20))
def test_a_history_is_read_as_it_was_written(written):
    assert history("".join(line(one.at_ms, one.state, one.reason) for one in written)) == tuple(written)


@given(st.text(max_size=2000))
def test_whatever_a_reason_says_it_is_one_line_that_can_be_stored(reason):
    text = line(5, State.FAILED, reason)

    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert len(text) <= MOST_REASON + 20
    assert len(history(text)) == 1
    text.encode()


def test_the_first_try_is_when_it_was_first_sent_whatever_reasons_say():
    waited = line(1, State.WAITING, "no sending yet") + line(2, State.QUEUED, "")
    assert tried_ms("") is None
    assert tried_ms(waited) is None
    assert tried_ms(waited + line(3, State.SENDING, "") + line(4, State.QUEUED, "") + line(5, State.SENDING, "")) == 3


def test_of_a_history_too_long_to_be_whole_it_counts_as_tried_from_the_start():
    long = line(1, State.WAITING, "") + "".join(line(n, State.SENDING, "") for n in range(1000, 1000 + WHOLE_HISTORY))
    assert tried_ms(long) == 1


def test_half_a_character_is_replaced_and_the_rest_kept():
    assert clean("grüße \ud800!") == "grüße ?!"


def test_only_the_latest_lines_move_when_the_clock_was_set():
    """What an earlier run wrote stays, also where this run's clock was behind it."""
    text = line(900, State.WAITING, "") + line(5, State.QUEUED, "") + line(7, State.SENT, "")

    assert [one.at_ms for one in history(shifted(text, 5, 1000))] == [900, 1005, 1007]
    assert shifted(text, 8, 1000) == text
