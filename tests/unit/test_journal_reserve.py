# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from gateway.journal.reserve import MOST_BYTES, OF_THE_DISK, Reserve
from tests.disks import fill_up, mounted


def test_it_takes_room_on_the_disk_and_gives_it_away_once(tmp_path):
    with mounted(tmp_path / "disk", "8m") as disk:
        reserve = Reserve(disk / "reserve")
        assert reserve.hold()
        size = 8 * 1024 * 1024 // OF_THE_DISK
        assert (disk / "reserve").stat().st_blocks * 512 == size
        assert reserve.hold()
        assert reserve.release()
        assert not reserve.is_held
        assert not reserve.release()


def test_it_is_not_taken_where_nothing_would_be_left_besides(tmp_path):
    with mounted(tmp_path / "disk", "8m") as disk:
        filler = fill_up(disk)
        reserve = Reserve(disk / "reserve")
        assert not reserve.hold()
        assert not (disk / "reserve").exists()
        filler.unlink()
        assert reserve.hold()


def test_one_that_an_earlier_run_left_is_held_again_though_the_disk_is_full(tmp_path):
    with mounted(tmp_path / "disk", "8m") as disk:
        Reserve(disk / "reserve").hold()
        fill_up(disk)
        reserve = Reserve(disk / "reserve")
        reserve.hold()
        assert reserve.release()


def test_a_large_disk_gives_no_more_than_is_needed(tmp_path):
    with mounted(tmp_path / "disk", "1g") as disk:
        Reserve(disk / "reserve").hold()
        assert (disk / "reserve").stat().st_size == MOST_BYTES
