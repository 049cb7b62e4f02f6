# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from bridges.matrix.since import SAVE_EVERY_S, Since
from gateway.model import ResumePoint


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "since.json"


def test_nothing_known_means_from_now(file: Path) -> None:
    assert Since(file, None).token is None


def test_the_first_token_survives_a_restart_before_any_message(file: Path) -> None:
    Since(file, None).take("t0", journalled=False, now_s=0)
    assert Since(file, None).token == "t0"


def test_the_journal_overtakes_the_file(file: Path) -> None:
    since = Since(file, None)
    since.take("t0", journalled=False, now_s=0)
    since.take("t1", journalled=True, now_s=1)
    assert Since(file, ResumePoint("t1")).token == "t1"
    assert Since(file, ResumePoint("t9")).token == "t9"


def test_batches_without_messages_go_on_from_the_journals_point(file: Path) -> None:
    since = Since(file, ResumePoint("t1"))
    since.take("t2", journalled=False, now_s=0)
    since.take("t3", journalled=False, now_s=1)
    assert Since(file, ResumePoint("t1")).token == "t2"
    since.take("t4", journalled=False, now_s=SAVE_EVERY_S)
    assert Since(file, ResumePoint("t1")).token == "t4"
    since.take("t5", journalled=False, now_s=SAVE_EVERY_S + 1)
    since.save()
    assert Since(file, ResumePoint("t1")).token == "t5"


def test_a_message_taken_but_not_stored_is_asked_for_again(file: Path) -> None:
    since = Since(file, ResumePoint("t1"))
    since.take("t2", journalled=True, now_s=0)
    since.take("t3", journalled=False, now_s=1)
    assert Since(file, ResumePoint("t1")).token == "t1", "the journal never had t2"
    since.forget()
    since.save()
    assert since.token is None


@pytest.mark.parametrize("damage", [b"", b"[]", b"\xff", b'{"follows": "", "token": 7}', b"[" * 10_000])
def test_a_damaged_file_is_no_file(file: Path, damage: bytes) -> None:
    file.write_bytes(damage)
    assert Since(file, None).token is None


def test_a_disk_that_takes_nothing_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "since.json").mkdir()
    since = Since(tmp_path / "since.json", None)
    since.take("t0", journalled=False, now_s=0)
    assert since.token == "t0"
