# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from bridges.lan.addresses import Places, Source
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
