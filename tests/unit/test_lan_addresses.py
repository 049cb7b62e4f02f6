# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from bridges.lan.addresses import Place, Places, Source
from bridges.lan.administration import _where
from bridges.lan.event import BoxId

BOX = BoxId("a" * 32)
ADDRESSES = ("192.0.2.7:8448", "[fd00::7]:8448", "198.51.100.7:8448")


def known() -> Places:
    places = Places(())
    for address in ADDRESSES:
        places.learn(address, Source.FOUND, BOX)
    return places


def test_of_places_of_a_box_that_all_answer_one_is_called_and_another_when_that_one_is_silent():
    places = known()
    for place in places:
        place.answered(BOX)
    assert [place.address for place in places if not places.is_spare(place)] == [ADDRESSES[0]]
    next(iter(places)).failed("silent")
    assert [place.address for place in places if not places.is_spare(place)] == [ADDRESSES[1]]


def test_while_none_answers_all_are_tried():
    places = known()
    assert not any(places.is_spare(place) for place in places)


def test_of_a_box_that_answers_it_is_not_told_why_it_once_did_not_elsewhere() -> None:
    old = Place(address="192.168.4.1:8448", source=Source.FOUND, box=BOX)
    new = Place(address="[fd00::1]:8448", source=Source.CALLER, box=BOX)
    old.failed("192.168.4.1:8448 is no box of this community")  # it was none before the two were joined
    assert _where([old, new]) == {"addresses": [], "reason": "192.168.4.1:8448 is no box of this community"}
    new.answered(BOX)
    assert _where([old, new]) == {"addresses": ["[fd00::1]:8448"], "reason": ""}
