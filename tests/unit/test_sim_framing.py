# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.sim.framing import MAX_PAYLOAD_BYTES, Deframer, frame

payloads = st.lists(st.binary(max_size=MAX_PAYLOAD_BYTES), max_size=6)


@given(payloads, st.integers(1, 40))
def test_frames_in_pieces_of_any_size_come_out_whole_and_in_order(expected, step):
    line = b"".join(frame(payload) for payload in expected)
    deframer = Deframer()

    found = [p for at in range(0, len(line), step) for p in deframer.feed(line[at : at + step])]

    assert found == expected
    assert deframer.skipped == 0


def test_wake_up_bytes_and_text_before_a_frame_are_skipped():
    deframer = Deframer()

    assert deframer.feed(b"\xc3" * 32 + b"hello\r\n\x94" + frame(b"config please")) == [b"config please"]
    assert deframer.skipped == 40


def test_a_start_with_an_impossible_length_is_looked_behind():
    assert Deframer().feed(b"\x94\xc3\xff\xff" + frame(b"next")) == [b"next"]


def test_a_cleared_deframer_forgets_half_a_frame():
    deframer = Deframer()
    deframer.feed(frame(b"cut off here")[:9])
    deframer.clear()

    assert deframer.feed(frame(b"next")) == [b"next"]


@given(st.binary(max_size=2000))
def test_any_bytes_are_survived_and_at_most_one_frame_is_held(noise):
    deframer = Deframer()
    deframer.feed(noise)

    assert len(deframer._held) < MAX_PAYLOAD_BYTES + 4


def test_a_payload_over_512_bytes_is_refused():
    with pytest.raises(ValueError, match="512"):
        frame(bytes(513))
