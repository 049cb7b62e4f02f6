# SPDX-License-Identifier: GPL-3.0-or-later
from gateway.absence import MOST_ABSENT, Absences
from gateway.model import Address, BridgeName


def at(name):
    return Address(BridgeName("home"), name)


def test_each_look_is_counted_until_the_conversation_is_there():
    absences = Absences()
    assert [absences.missed(at("#a")) for _ in range(3)] == [0, 1, 2]
    assert absences.missed(at("#b")) == 0
    assert absences.appeared(at("#a"))
    assert not absences.appeared(at("#a"))
    assert absences.missed(at("#a")) == 0
    absences.begin_anew()
    assert absences.missed(at("#b")) == 0


def test_no_more_are_counted_than_there_is_room_for():
    absences = Absences()
    for number in range(MOST_ABSENT + 1):
        absences.missed(at(f"#{number}"))
    assert absences.missed(at("#0")) == 0
    assert absences.missed(at(f"#{MOST_ABSENT}")) == 1
