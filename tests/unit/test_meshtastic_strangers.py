# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from itertools import pairwise

import pytest

from bridges.meshtastic.refusals import NoKey
from bridges.meshtastic.strangers import (
    ASK_AGAIN_S,
    ASK_FAILED_S,
    FORGET_S,
    GIVE_UP_S,
    MOST_ASKS,
    Strangers,
)
from gateway.model import Rejected

NODE, OTHER = 2, 3


def asked(strangers: Strangers, now: float, packet: int = 77) -> bool:
    """Ask whoever is to be asked, as the bridge does; return whether anybody was."""
    node = strangers.next()
    if node is None:
        return False
    strangers.asking(node, packet)
    strangers.asked(node, now, is_sent=True)
    return True


def test_a_node_is_asked_at_once_and_then_once_in_ten_minutes_however_many_messages_wait():
    strangers, asks = Strangers(), []
    for second in range(0, int(GIVE_UP_S), 10):
        strangers.missed(NODE, second, is_theirs=True)
        if asked(strangers, second):
            asks.append(second)

    assert len(asks) == MOST_ASKS
    assert asks[0] == 0
    assert all(later - earlier >= ASK_AGAIN_S for earlier, later in pairwise(asks))


def test_the_reason_says_whose_key_is_missing_and_how_often_it_was_asked_for():
    strangers = Strangers()
    told = [str(strangers.missed(NODE, 0.0, is_theirs=True))]
    asked(strangers, 0.0)
    told += [str(strangers.missed(NODE, 1.0, is_theirs=True)), str(strangers.missed(OTHER, 1.0, is_theirs=False))]

    assert told == [
        "our radio does not know that node's key yet: it is being asked",
        "our radio does not know that node's key yet: asked for it 1 of 3 times",
        "that node does not know our radio's key yet: it is being told",
    ]


@pytest.mark.parametrize("is_theirs", [True, False])
def test_who_never_answers_is_given_up_with_the_reason_and_left_alone_for_hours(is_theirs: bool):
    strangers = Strangers()
    assert isinstance(strangers.missed(NODE, 0.0, is_theirs=is_theirs), NoKey)
    for second in (0.0, ASK_AGAIN_S, 2 * ASK_AGAIN_S):
        strangers.missed(NODE, second, is_theirs=is_theirs)
        assert asked(strangers, second)
    over = strangers.missed(NODE, GIVE_UP_S, is_theirs=is_theirs)

    assert isinstance(over, Rejected)
    assert "3 times, no answer in 30 min" in str(over)
    assert isinstance(strangers.missed(NODE, FORGET_S - 1, is_theirs=is_theirs), Rejected)
    assert not asked(strangers, FORGET_S - 1)
    assert isinstance(strangers.missed(NODE, FORGET_S, is_theirs=is_theirs), NoKey)
    assert asked(strangers, FORGET_S)


def test_an_ask_that_could_not_be_sent_is_made_good_in_a_minute():
    strangers = Strangers()
    strangers.missed(NODE, 0.0, is_theirs=True)
    strangers.asking(NODE, 77)
    strangers.asked(NODE, 0.0, is_sent=False)
    strangers.missed(NODE, ASK_FAILED_S - 1, is_theirs=True)
    assert strangers.next() is None
    strangers.missed(NODE, ASK_FAILED_S, is_theirs=True)

    assert strangers.next() == NODE


def test_a_node_whose_key_we_lack_is_none_any_more_once_it_describes_itself_to_anybody():
    strangers = Strangers()
    strangers.missed(NODE, 0.0, is_theirs=True)

    assert strangers.holds(NODE, 0.0) is None, "the radio knows best whether it has the key"
    assert not strangers.described(OTHER, has_key=True, to_us=False)
    assert strangers.described(NODE, has_key=True, to_us=False)
    assert not strangers.described(NODE, has_key=True, to_us=False)


def test_a_node_that_lacks_our_key_is_left_alone_until_it_shows_that_it_was_told():
    strangers = Strangers()
    strangers.missed(NODE, 0.0, is_theirs=False)
    asked(strangers, 0.0, packet=77)

    assert "told it 1 of 3 times" in str(strangers.holds(NODE, 5.0))
    assert not strangers.described(NODE, has_key=True, to_us=False), "it need not have heard us for that"
    assert not strangers.acknowledged(NODE, 78)
    assert not strangers.acknowledged(OTHER, 77)
    assert strangers.acknowledged(NODE, 77)
    assert strangers.holds(NODE, 6.0) is None


def test_its_own_description_to_us_shows_it_too():
    strangers = Strangers()
    strangers.missed(NODE, 0.0, is_theirs=False)

    assert strangers.described(NODE, has_key=True, to_us=True)
    assert strangers.holds(NODE, 1.0) is None


def test_a_node_that_was_told_in_vain_is_written_to_again_once_it_is_given_up():
    """It may have learnt our key all the same; the next answer of its own says."""
    strangers = Strangers()
    strangers.missed(NODE, 0.0, is_theirs=False)

    assert strangers.holds(NODE, GIVE_UP_S - 1) is not None
    assert strangers.holds(NODE, GIVE_UP_S) is None


def test_a_node_without_a_key_is_said_to_have_none():
    strangers = Strangers()
    strangers.missed(NODE, 0.0, is_theirs=True)

    assert strangers.described(NODE, has_key=False, to_us=True)
    over = strangers.missed(NODE, 1.0, is_theirs=True)
    assert isinstance(over, Rejected)
    assert "no key" in str(over)


def test_the_table_is_bounded():
    strangers = Strangers(limit=3)
    for node in range(10):
        strangers.missed(node, 0.0, is_theirs=False)

    assert [node for node in range(10) if strangers.holds(node, 0.0)] == [7, 8, 9]
