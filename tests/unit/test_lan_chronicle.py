# SPDX-License-Identifier: GPL-3.0-or-later
"""What the loop waits for while rooms are read: what one person is told, and what is too old, not all the rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bridges.lan.chronicle import Chronicle
from bridges.lan.schemas import ROOMS, connected

MANY = 5_000
ALI = "~ali@hilltop"
STEPS_EACH = 500
"""Steps of SQLite for a line that is found: much more than it takes, much less than for all there are."""


def filled(rooms: Chronicle) -> None:
    """Have a crowd's lines, and between them some of which ali alone is told, or tells one."""
    told = {100: (ALI, "~bo@hilltop"), 200: ("~bo@hilltop", ALI), 300: (f"{ALI}/!a1b2c301", "!a1b2c301")}
    rows = []
    for number in range(1, MANY + 1):
        room, sender = told.get(number, ("town", f"~n{number % 50}@hilltop"))
        rows.append((number, room, f"web:{number}", sender, "who", "page", "words", number, False, None, number))
    with rooms._db:
        rooms._db.executemany("INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        rooms._db.executemany(
            "INSERT INTO standing VALUES (?, 'box', 'leg', 'sent', ?)", [(f"web:{n}", n) for n in range(MANY)]
        )


def steps(db: sqlite3.Connection, work: Callable[[], object]) -> int:
    """Return about how many steps SQLite took."""
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    db.set_progress_handler(step, 10)
    work()
    db.set_progress_handler(None, 0)
    return 10 * taken


@pytest.fixture
def rooms() -> Chronicle:
    made = Chronicle(":memory:")
    filled(made)
    return made


@pytest.mark.parametrize(
    ("bounds", "found"),
    [
        ({"after": 0, "before": None}, [100, 200, 300]),
        ({"after": 100, "before": None}, [200, 300]),
        ({"after": 0, "before": 300}, [100, 200]),
    ],
)
def test_reading_what_one_person_is_told_reads_nobody_elses_lines(
    rooms: Chronicle, bounds: dict[str, int | None], found: list[int]
) -> None:
    def read() -> None:
        lines = rooms.directs(ALI, since_ms=0, limit=50, **bounds)  # type: ignore[arg-type]
        assert [line.arrival for line in lines] == found

    assert steps(rooms._db, read) < 4 * STEPS_EACH
    assert steps(rooms._db, lambda: rooms.directs("~nobody@hilltop", since_ms=0, limit=50, **bounds)) < STEPS_EACH  # type: ignore[arg-type]


def test_someone_whose_name_goes_on_where_anothers_ends_reads_nothing_of_theirs(rooms: Chronicle) -> None:
    for other in ("~al@hilltop", "~ali@hill", "~ali@hilltop0", "~ali@hilltop.", "~bo@hilltop/"):
        assert rooms.directs(other, since_ms=0, after=0, before=None, limit=50) == []


def test_dropping_what_is_too_old_reads_nothing_of_what_stays(rooms: Chronicle) -> None:
    looking_back = steps(rooms._db, rooms._look_back)
    assert steps(rooms._db, lambda: rooms.retain(2)) - looking_back < 2 * STEPS_EACH
    assert steps(rooms._db, lambda: rooms.retain(MANY)) > MANY  # what goes does cost


def test_rooms_of_an_earlier_release_are_read_as_fast_and_keep_what_they_have(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    earlier = connected(path, ROOMS)
    with earlier:
        earlier.execute("INSERT INTO holder VALUES (?, 'key', 7)", (ALI,))
    earlier.close()
    rooms = Chronicle(path)
    assert rooms.held_since(ALI, "key", 99) == 7
    filled(rooms)
    assert steps(rooms._db, lambda: rooms.directs(ALI, since_ms=0, after=0, before=None, limit=50)) < 4 * STEPS_EACH
    rooms.close()
