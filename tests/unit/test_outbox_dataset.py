# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged files are cut or moved, never deleted; what is no tail isn't cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.model import StoreRefused
from gateway.outbox.dataset import Dataset
from gateway.outbox.redis_server import Engine

SOUND = b"*1\r\n$4\r\nPING\r\n"
VALKEY = Engine("valkey", (9, 1, 2))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    folder = tmp_path / "valkey" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    return Dataset(tmp_path, VALKEY)


def increment(dataset: Dataset, data: bytes) -> Path:
    file = dataset.files / "appendonlydir" / "appendonly.aof.1.incr.aof"
    file.write_bytes(data)
    return file


def test_a_sound_or_missing_file_is_left_alone(dataset: Dataset) -> None:
    assert dataset.mend_tail(now_s=1) is None
    file = increment(dataset, SOUND)
    assert dataset.mend_tail(now_s=1) is None
    assert file.read_bytes() == SOUND


def test_every_backup_gets_a_name_of_its_own(dataset: Dataset) -> None:
    backups = []
    for _ in range(2):
        file = increment(dataset, SOUND + bytes(99))
        mended = dataset.mend_tail(now_s=1)
        assert mended
        assert mended.cut_bytes == 99
        assert file.read_bytes() == SOUND
        backups.append(mended.backup.read_bytes())
    assert backups == [SOUND + bytes(99)] * 2


def test_more_than_a_tail_is_not_cut(dataset: Dataset) -> None:
    file = increment(dataset, SOUND + bytes(101))
    with pytest.raises(StoreRefused, match="makes no sense"):
        dataset.mend_tail(now_s=1, most_cut_bytes=100)
    assert file.read_bytes() == SOUND + bytes(101)


def test_quarantine_moves_the_whole_set(dataset: Dataset) -> None:
    increment(dataset, b"junk")
    aside = dataset.quarantine(now_s=7)
    assert aside
    assert aside.name == "appendonlydir.quarantine-7"
    assert (aside / "appendonly.aof.1.incr.aof").read_bytes() == b"junk"
    assert dataset.quarantine(now_s=8) is None


@pytest.mark.parametrize(
    ("engine", "is_refused"),
    [
        (Engine("valkey", (9, 1, 2)), False),
        (Engine("valkey", (9, 2)), False),
        (Engine("valkey", (9, 1, 1)), True),
        (Engine("valkey", (8, 1, 8)), True),
        (Engine("redis", (9, 9)), True),
    ],
)
def test_only_the_same_engine_of_the_same_version_or_newer_may_go_on(
    tmp_path: Path, engine: Engine, is_refused: bool
) -> None:
    Dataset(tmp_path, engine).refuse_foreign()
    Dataset(tmp_path, VALKEY).stamp()
    if not is_refused:
        Dataset(tmp_path, engine).refuse_foreign()
        return
    with pytest.raises(StoreRefused, match="was written by valkey"):
        Dataset(tmp_path, engine).refuse_foreign()
