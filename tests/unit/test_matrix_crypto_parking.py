# SPDX-License-Identifier: GPL-3.0-or-later
"""Events that wait for their keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridges.matrix.crypto import parking
from bridges.matrix.crypto.errors import StoreFailed
from bridges.matrix.crypto.parking import MAX_AGE_MS, MAX_PARKED, Overdue, Parking

NOW_MS = 1_800_000_000_000


def event(number: int, sender: str = "@ali:x", session: str = "s") -> dict[str, Any]:
    content = {"session_id": session, "ciphertext": "AwgA"}
    return {"event_id": f"${number}", "sender": sender, "type": "m.room.encrypted", "content": content}


class Lot:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "crypto" / "parked.db"
        self.lost = 0
        self.parking = Parking(self.file, self._lose)
        self.parking.open()

    def _lose(self) -> None:
        self.lost += 1

    def ids(self, *sessions: str, senders: tuple[str, ...] = ()) -> list[str]:
        return [parked.event["event_id"] for parked in self.parking.waiting(sessions, senders)]


@pytest.fixture
def lot(tmp_path: Path) -> Iterator[Lot]:
    made = Lot(tmp_path)
    yield made
    made.parking.close()


def test_what_is_parked_is_there_after_a_restart_with_its_time_once(lot: Lot) -> None:
    assert lot.parking.park(event(1), "!r", NOW_MS)
    assert not lot.parking.park(event(1), "!r", NOW_MS + 5)
    lot.parking.close()
    lot.parking.open()
    (parked,) = lot.parking.waiting(None)
    assert (parked.room_id, parked.received_ms, parked.event) == ("!r", NOW_MS, event(1))
    assert lot.file.stat().st_mode & 0o777 == 0o600


def test_only_what_may_be_readable_now_is_tried_oldest_first(lot: Lot) -> None:
    lot.parking.park(event(1, session="a"), "!r", NOW_MS + 2)
    lot.parking.park(event(2, session="b", sender="@bea:x"), "!r", NOW_MS + 1)
    lot.parking.park(event(3, session="a"), "!r", NOW_MS)
    assert lot.ids("a") == ["$3", "$1"]
    assert lot.ids(senders=("@bea:x",)) == ["$2"]
    assert lot.ids() == []
    lot.parking.remove(["$1", "$none"])
    assert [parked.event["event_id"] for parked in lot.parking.waiting(None)] == ["$3", "$2"]


def test_whatever_is_in_an_event_is_kept_as_it_came(lot: Lot) -> None:
    odd = event(1, session="\ud800\0") | {"more": {"é": ["\udfff", 2**70, None]}}
    assert lot.parking.park(odd, "!r", NOW_MS)
    (parked,) = lot.parking.waiting(None)
    assert parked.event == odd


def test_a_flood_costs_its_sender_their_oldest_and_nobody_else(lot: Lot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "MAX_PARKED", 5)
    lot.parking.park(event(0, sender="@bea:x"), "!r", NOW_MS)
    for number in range(1, 10):
        lot.parking.park(event(number), "!r", NOW_MS + number)
    assert lot.ids("s") == ["$0", "$6", "$7", "$8", "$9"]
    assert lot.lost == 5
    assert lot.parking.count() == 5 < MAX_PARKED


def test_after_a_week_it_is_given_up_unless_the_clock_was_not_set_when_it_came(lot: Lot) -> None:
    lot.parking.park(event(1), "!r", 3_600_000)  # 1970
    lot.parking.park(event(2), "!r", NOW_MS - MAX_AGE_MS)
    lot.parking.park(event(3), "!r", NOW_MS - MAX_AGE_MS - 1)
    lot.parking.expire(5_000)
    assert lot.lost == 0
    lot.parking.expire(NOW_MS)
    assert (lot.ids("s"), lot.lost) == (["$2", "$1"], 1)


def test_of_whom_nobody_was_told_is_known_by_room_and_sender(lot: Lot) -> None:
    lot.parking.park(event(1), "!r", NOW_MS)
    lot.parking.park(event(2), "!r", NOW_MS + 10)
    lot.parking.park(event(3, sender="@bea:x"), "!r", NOW_MS + 20)
    (overdue,) = lot.parking.overdue(NOW_MS + 10)
    assert overdue == Overdue(room_id="!r", sender="@ali:x", number=2)
    lot.parking.told(overdue, NOW_MS + 10)
    assert [one.sender for one in lot.parking.overdue(NOW_MS + 99)] == ["@bea:x"]


def test_a_damaged_file_is_moved_aside_and_counted_and_a_closed_one_is_an_error(lot: Lot) -> None:
    lot.parking.close()
    with pytest.raises(StoreFailed):
        lot.parking.park(event(1), "!r", NOW_MS)
    assert lot.parking.count() == 0
    lot.file.write_bytes(b"no database at all" * 200)
    lot.parking.open()
    assert lot.parking.park(event(1), "!r", NOW_MS)
    assert lot.lost == 1
    assert lot.file.with_suffix(".unreadable").exists()
