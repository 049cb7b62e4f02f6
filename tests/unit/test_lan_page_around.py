# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands around a room's lines goes to a page that is open where it changed, and only then."""

from __future__ import annotations

import json

from bridges.lan.hall import Person
from bridges.lan.page.around import AGAIN_S, Around, around
from gateway.model import SenderId
from tests.halls import MemoryHall

ADA = Person(id=SenderId("~Ada@hilltop"), nick="Ada", key="k")


def test_it_is_the_notice_the_answer_and_who_is_here_in_the_readers_language():
    hall = MemoryHall()
    hall.join("Ada", "k")
    hall.stands = "you asked to be heard on radio, and you may"
    found = around(hall, "help/desk", ADA, "de")
    assert found == {
        "notice": "slow mode",
        "standing": "du hast darum gebeten, über Funk gehört zu werden, und darfst es",
        "count": "1 Person auf dieser Seite",
    }
    assert around(hall, "town", None, "en") == {"notice": "", "standing": "", "count": "1 person at this page"}


def test_a_page_that_was_written_just_now_is_told_what_changed_and_not_more_often_than_that():
    hall = MemoryHall()
    told = Around(lambda: around(hall, "town", None, "en"), is_known=True, now_s=100.0)
    hall.join("Ada", "k")
    assert told.changed(100.0 + AGAIN_S - 1) == b""
    event = told.changed(100.0 + AGAIN_S)
    assert event.startswith(b"event: around\ndata: ")
    assert event.endswith(b"\n\n")
    assert json.loads(event.split(b"data: ")[1])["count"] == "1 person at this page"
    assert told.changed(100.0 + 2 * AGAIN_S) == b""


def test_a_page_that_comes_back_is_told_at_once():
    hall = MemoryHall()
    assert Around(lambda: around(hall, "town", None, "en"), is_known=False, now_s=0.0).changed(0.0) != b""
