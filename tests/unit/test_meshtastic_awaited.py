# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections import Counter
from pathlib import Path

from bridges.meshtastic.awaited import FILE, MOST_LINES, Awaited, Waiting
from gateway.model import Certainty


class Kept:
    def __init__(self, folder: Path, limit: int = 256) -> None:
        self.counts: Counter[str] = Counter()
        self.awaited = Awaited(folder, limit=limit, count=lambda kind: self.counts.update([kind]))


def waiting(id: int, known: Certainty | None = Certainty.SENT) -> Waiting:
    return Waiting(id=id, key=f"d{id}.0", node=2, known=known, within_s=75.0)


def test_what_waits_for_a_verdict_is_known_after_a_restart_as_it_was_last(tmp_path: Path):
    before = Kept(tmp_path).awaited
    assert before.load() == []
    for each in (waiting(1), waiting(2), waiting(1, Certainty.HEARD), waiting(3)):
        before.keep(each)

    assert Kept(tmp_path).awaited.load() == [waiting(2), waiting(1, Certainty.HEARD), waiting(3)]


def test_what_was_refused_is_over(tmp_path: Path):
    before = Kept(tmp_path).awaited
    before.keep(waiting(1))
    before.keep(waiting(1, None))

    assert Kept(tmp_path).awaited.load() == []


def test_of_too_many_the_oldest_are_forgotten_and_the_file_stays_small(tmp_path: Path):
    before = Kept(tmp_path, limit=10).awaited
    for number in range(3 * MOST_LINES):
        before.keep(waiting(number))

    lines = (tmp_path / FILE).read_text().splitlines()
    assert len(lines) <= MOST_LINES
    last = 3 * MOST_LINES
    assert [each.id for each in Kept(tmp_path, limit=10).awaited.load()] == [*range(last - 10, last)]


def test_a_line_that_a_power_cut_left_half_costs_that_line_and_is_counted(tmp_path: Path):
    before = Kept(tmp_path).awaited
    before.keep(waiting(1))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"id": 2, "key": "d2\xff')
    after = Kept(tmp_path)

    assert after.awaited.load() == [waiting(1)]
    assert after.counts == {"awaited_unreadable": 1}
    after.awaited.keep(waiting(3))
    assert Kept(tmp_path).awaited.load() == [waiting(1), waiting(3)]


def test_a_disk_that_takes_nothing_is_counted_and_stops_nothing(tmp_path: Path):
    kept = Kept(tmp_path / "gone")
    kept.awaited.load()
    kept.awaited.keep(waiting(1))

    assert kept.counts == {"awaited_not_kept": 1}
