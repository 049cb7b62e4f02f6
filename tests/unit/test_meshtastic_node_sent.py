# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from bridges.meshtastic.node.seen import Seen
from bridges.meshtastic.node.sent import MOST_PENDING, MOST_SENT, Sent

BROADCAST = 0xFFFFFFFF
RIDGE = 0xA1B2C301


def waiting(*ids: int, to: int = BROADCAST) -> Sent:
    sent = Sent(again_after_s=8.0)
    for id_ in ids:
        sent.add(id_, b"content %d" % id_)
        sent.wait(id_, to=to, datagram=b"datagram %d" % id_, now=0.0)
    return sent


def test_it_is_sent_three_times_in_all_and_then_given_up_once():
    sent = waiting(5)

    happened = [(again, [each.id for each in given_up]) for again, given_up in map(sent.due, range(40))]

    assert [second for second, (again, _) in enumerate(happened) if again] == [8, 16]
    assert [(second, ids) for second, (_, ids) in enumerate(happened) if ids] == [(24, [5])]


def test_what_is_settled_is_not_sent_again():
    sent = waiting(5)

    assert sent.settle(5)
    assert not sent.settle(5)
    assert sent.due(100.0) == ([], [])


def test_only_the_one_it_is_for_can_answer():
    sent = waiting(5, to=RIDGE)

    assert not sent.settle(5, RIDGE + 1)
    assert sent.settle(5, RIDGE)


def test_past_the_limit_the_oldest_is_given_up_before_its_time():
    sent = waiting(*range(1, MOST_PENDING + 3))

    again, given_up = sent.due(1.0)

    assert again == []
    assert [each.id for each in given_up] == [1, 2]


def test_a_packet_is_ours_by_id_and_content_as_long_as_it_is_remembered():
    sent = waiting(*range(1, MOST_SENT + 2))

    assert sent.is_ours(2, b"content 2")
    assert not sent.is_ours(2, b"forged")
    assert sent.knows(2)
    assert not sent.knows(1)


def test_the_oldest_of_many_is_seen_as_new_again():
    seen = Seen(limit=2)
    for id_ in (1, 2, 1, 3):
        seen.add((RIDGE, id_))

    assert [(RIDGE, id_) in seen for id_ in (1, 2, 3)] == [True, False, True]
