# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom nobody at the page may be taken for: known without a look at the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridges.lan.chronicle import Chronicle, Heard
from bridges.lan.entries import Said
from bridges.lan.lately import Lately
from gateway.model import NativeId, Sender, SenderId, Text


def heard(number: int, name: str, native: str) -> Heard:
    said = Said(
        native=NativeId(f"{native}{number}"),
        room="town",
        sender=Sender(id=SenderId(name), name=name),
        content=Text(body="x"),
        said_ms=number,
    )
    return Heard(said=said, arrival=number, hlc=number, at_ms=number)


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Chronicle]:
    made = Chronicle(tmp_path / "rooms.db")
    yield made
    made.close()


def test_names_of_other_networks_are_known_at_once_after_a_restart_and_without_reading(
    rooms: Chronicle, tmp_path: Path
) -> None:
    rooms.take([heard(1, "Bea", "mt:1:"), heard(2, "Ali", "web:b:"), heard(3, "Ali M", "mx:$")], (), "m", 1)
    rooms.take([heard(1, "Bea", "mt:1:")], (), "m", 1)  # the same again
    asked: list[str] = []
    rooms._db.set_trace_callback(asked.append)
    assert sorted(rooms.names()) == ["Ali M", "Bea"]
    assert asked == []
    again = Chronicle(tmp_path / "rooms.db")
    assert sorted(again.names()) == ["Ali M", "Bea"]
    again.close()


def test_what_retention_or_a_new_beginning_takes_is_no_name_any_more(rooms: Chronicle) -> None:
    rooms.take([heard(1, "Bea", "mt:1:")], (), "m", 1)
    rooms.take([heard(2, "Cem", "mt:2:")], (), "m", 5)
    rooms.retain(3)
    assert rooms.names() == ["Cem"]
    rooms.begin("others")
    assert rooms.names() == []


def test_past_the_most_lines_the_oldest_name_goes_unless_it_spoke_again() -> None:
    lately = Lately(3)
    for name in ("a", "b", "a", "c", "d"):
        lately.add(name, "radio")
    assert sorted(lately.names()) == ["a", "c", "d"]
    lately.add("n", "page")
    assert sorted(lately.names()) == ["c", "d"]
