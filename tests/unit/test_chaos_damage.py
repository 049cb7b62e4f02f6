# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage to the queue's files is what power cuts do: to the end of the last increment, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.damage import QueueFiles

WHOLE = bytes(range(256)) * 1000


@pytest.fixture
def files(tmp_path: Path) -> QueueFiles:
    folder = tmp_path / "queue" / "valkey" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.1.base.rdb").write_bytes(b"base")
    (folder / "appendonly.aof.2.incr.aof").write_bytes(WHOLE)
    (folder / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n"
    )
    return QueueFiles(tmp_path)


def content(files: QueueFiles) -> bytes:
    file = files.increment()
    assert file is not None
    return file.read_bytes()


def test_a_cut_tail_is_shorter_and_otherwise_whole(files: QueueFiles) -> None:
    files.cut_tail(random.Random(1))

    assert len(content(files)) < len(WHOLE)
    assert WHOLE.startswith(content(files))


def test_a_lost_tail_is_the_file_as_it_was(files: QueueFiles) -> None:
    files.remember()
    file = files.increment()
    assert file is not None
    file.write_bytes(WHOLE + b"later")

    assert "5 of" in files.lose_tail(random.Random(1))
    assert content(files) == WHOLE


def test_zeros_and_garbage_are_at_the_end(files: QueueFiles) -> None:
    files.zeros(random.Random(1))
    assert content(files).endswith(bytes(4096))
    assert content(files).startswith(WHOLE[: len(WHOLE) - 64 * 1024])

    before = content(files)
    files.garbage(random.Random(1))
    assert content(files).startswith(before)
    assert len(content(files)) > len(before)


def test_a_set_without_a_manifest_yet_has_nothing_to_damage(files: QueueFiles) -> None:
    assert files.folder is not None
    (files.folder / "appendonly.aof.manifest").unlink()

    for damage in (files.cut_tail, files.lose_tail, files.zeros, files.garbage):
        assert "nothing" in damage(random.Random(1))


def test_an_emptied_set_is_gone_and_further_damage_has_nothing_to_do(files: QueueFiles) -> None:
    files.empty(random.Random(1))

    assert files.folder is None
    for damage in (files.cut_tail, files.lose_tail, files.zeros, files.garbage, files.empty):
        assert "nothing" in damage(random.Random(1))
