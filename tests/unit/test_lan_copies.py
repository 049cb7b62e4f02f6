# SPDX-License-Identifier: GPL-3.0-or-later
"""A line that a box said on radio, and another logged as it heard it there while they were apart, stands once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from bridges.lan.chronicle import Chronicle
from bridges.lan.emissions import Entry, body_of
from bridges.lan.entries import Said
from bridges.lan.event import BoxId, Event, FeedId
from bridges.lan.membership import Roll
from bridges.lan.store import Arrived
from bridges.lan.transcript import Heard, Reader
from gateway.model import NativeId, Sender, SenderId, Text, Utterance

ORIGINAL, COPY = "web:hilltop:1", "mt:a1b2c300:00000007"


def heard(arrival: int, native: str, text: str, room: str = "town") -> Heard:
    sender = Sender(id=SenderId("somebody"), name="Somebody")
    said = Said(native=NativeId(native), room=room, sender=sender, content=Text(body=text), said_ms=arrival)
    return Heard(said=said, arrival=arrival, hlc=arrival, at_ms=arrival)


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Chronicle]:
    made = Chronicle(tmp_path / "rooms.db")
    yield made
    made.close()


@pytest.mark.parametrize("order", list(permutations(("original", "copy", "word"))))
def test_in_whatever_order_they_come_the_original_alone_is_shown(rooms: Chronicle, order: tuple[str, ...]) -> None:
    for arrival, what in enumerate(order, 1):
        heard_now = {"original": [heard(arrival, ORIGINAL, "hi")], "copy": [heard(arrival, COPY, "bo: hi")]}
        copies = [(COPY, ORIGINAL)] if what == "word" else []
        rooms.take(heard_now.get(what, []), (), str(arrival), arrival, copies)
    assert [line.id for line in rooms.lines("town")] == [ORIGINAL]
    assert rooms.line("town", COPY) is None
    assert [(line.id, line.is_copy) for line in rooms.copies(ORIGINAL)] == [(COPY, True)]
    assert rooms.copies(COPY) == rooms.copies(ORIGINAL)


def test_a_copy_is_shown_as_long_as_its_original_is_not_in_the_same_room(rooms: Chronicle) -> None:
    rooms.take([heard(1, COPY, "bo: hi"), heard(2, ORIGINAL, "hi", "square")], (), "2", 2, [(COPY, ORIGINAL)])
    assert [line.id for line in rooms.lines("town")] == [COPY]
    assert rooms.copies(COPY) == []


def test_what_a_box_said_of_speaking_tells_of_the_copy() -> None:
    told = Entry(
        utterance=Utterance(native_id=NativeId(ORIGINAL), where="mt:mesh"), is_done=False, as_native=NativeId(COPY)
    )
    unknown = Entry(utterance=told.utterance, is_done=True, as_native=None)
    forged = replace(told, as_native=NativeId("web:valley:1"))
    reader = Reader(box=BoxId("b" * 32), roll=Roll(boxes={}, limits={}), now_ms=0, count=lambda _: None)
    found = reader.read([arrived(body_of(each)) for each in (told, unknown, forged)])
    assert found.copies == ((COPY, ORIGINAL),)
    assert found.changed == {COPY, ORIGINAL}


def test_rooms_of_the_release_before_are_made_anew_from_the_log_and_keep_what_became_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    rooms = Chronicle(path)
    rooms.take([heard(1, ORIGINAL, "hi")], [(ORIGINAL, "b", "radio", "sent")], "1", 1)
    rooms.close()
    with closing(sqlite3.connect(path)) as older:
        older.executescript("DROP TABLE copy; PRAGMA user_version = 2")
    rooms = Chronicle(path)
    assert rooms.mark is None
    assert rooms.standing(ORIGINAL, "b", "radio") == "sent"
    rooms.take([], (), "1", 1, [(COPY, ORIGINAL)])
    rooms.close()


def arrived(body: str) -> Arrived:
    feed = FeedId("b" * 32 + "-1")
    event = Event(feed=feed, seq=1, hlc=1, previous=b"", native="emitting:1", body=body, signature=b"")
    return Arrived(event=event, arrival=1, stored_ms=0)
