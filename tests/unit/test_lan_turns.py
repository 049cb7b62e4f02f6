# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is to speak: by every box's own view, without asking anyone."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bridges.lan.event import BoxId
from bridges.lan.turns import Emission, decide, ranked
from gateway.model import Listen, NativeId, Said, Speak, Utterance

TURN_S = 25.0
HEARD = Utterance(native_id=NativeId("mt:a1b2c301:7"), where="mt:EU_868/LongFast/LongFast/8f2c0d1e")

boxes = st.sets(st.integers(0, 2**128 - 1).map(lambda n: BoxId(f"{n:032x}")), min_size=1, max_size=12)
utterances = st.builds(
    Utterance, native_id=st.text(min_size=1, max_size=20).map(NativeId), where=st.text(max_size=20), part=st.just(1)
)


def asked(box, live, utterance, emissions=None, *, first=None, now_s=0.0, waited_s=0.0):
    return decide(
        utterance,
        emissions or {},
        me=box,
        live=live - {box},
        first=first,
        now_s=now_s,
        waited_s=waited_s,
        turn_s=TURN_S,
    )


@given(boxes, utterances)
def test_exactly_one_speaks_at_once_where_all_see_each_other(live, utterance):
    assert sum(asked(box, live, utterance) == Speak() for box in live) == 1


@given(boxes, utterances, st.data())
def test_a_box_that_its_message_was_said_at_comes_first_for_all(live, utterance, data):
    home = data.draw(st.sampled_from(sorted(live)))
    assert [box for box in live if asked(box, live, utterance, first=home) == Speak()] == [home]


@given(boxes, utterances)
def test_each_next_box_takes_over_after_its_rank_in_turns_and_no_sooner(live, utterance):
    for rank, box in enumerate(ranked(live, utterance)):
        if rank:
            early = asked(box, live, utterance, waited_s=rank * TURN_S - 1)
            assert early == Listen(for_s=1.0, reason=f"box {ranked(live, utterance)[0]} speaks first")
        assert asked(box, live, utterance, waited_s=rank * TURN_S) == Speak()


@given(boxes, utterances, st.data())
def test_each_side_of_a_split_has_one_that_speaks(live, utterance, data):
    here = data.draw(st.sets(st.sampled_from(sorted(live)), min_size=1))
    for side in (here, live - here):
        assert sum(asked(box, side, utterance) == Speak() for box in side) == (1 if side else 0)


@given(boxes, utterances, st.data())
def test_nobody_else_speaks_what_is_known_as_said_however_long_it_waited(live, utterance, data):
    speaker = data.draw(st.sampled_from(sorted(live)))
    said = {speaker: Emission(since_s=0.0, is_done=True, as_native=NativeId("mt:1:2"))}
    for box in live - {speaker}:
        answer = asked(box, live, utterance, said, first=box, now_s=1e6, waited_s=1e6)
        assert answer == Said(by=speaker, native_id=NativeId("mt:1:2"))


@given(boxes, utterances, st.data())
def test_a_box_that_began_and_was_not_heard_of_again_is_replaced_by_one_other(live, utterance, data):
    speaker = data.draw(st.sampled_from(sorted(live)))
    begun = {speaker: Emission(since_s=0.0, is_done=False)}
    others = live - {speaker}
    for box in others:
        assert isinstance(asked(box, others, utterance, begun, now_s=TURN_S - 1, waited_s=1e6), Listen)
    assert sum(asked(box, others, utterance, begun, now_s=TURN_S, waited_s=0.0) == Speak() for box in others) == (
        1 if others else 0
    )


@given(boxes, utterances)
def test_a_box_that_began_goes_on_after_a_restart(live, utterance):
    for box in live:
        assert asked(box, live, utterance, {box: Emission(since_s=0.0, is_done=False)}) == Speak()


def test_of_two_that_began_the_one_ranked_first_goes_on_and_the_other_listens():
    live = {BoxId(f"{n:032x}") for n in range(4)}
    one, other = sorted(live, key=ranked(live, HEARD).index)[1:3]
    begun = {box: Emission(since_s=0.0, is_done=False) for box in (one, other)}
    assert asked(one, live, HEARD, begun, now_s=1.0) == Speak()
    assert isinstance(asked(other, live, HEARD, begun, now_s=1.0), Listen)


def test_all_parts_of_a_message_have_one_order():
    live = {BoxId(f"{n:032x}") for n in range(4)}
    second = Utterance(native_id=HEARD.native_id, where=HEARD.where, part=2, parts=2)
    assert ranked(live, HEARD) == ranked(live, second)


def test_the_work_spreads_evenly_over_the_boxes():
    live = {BoxId(f"{n:032x}") for n in range(4)}
    said = [Utterance(native_id=NativeId(f"mt:1:{n}"), where=HEARD.where) for n in range(400)]
    shares = Counter(ranked(live, one)[0] for one in said)
    assert min(shares.values()) > 70, shares
