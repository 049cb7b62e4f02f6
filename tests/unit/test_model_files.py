# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.model import files


def test_a_file_is_replaced_and_its_owner_alone_may_read_it(tmp_path: Path):
    file = tmp_path / "kept"
    file.write_text("before")
    file.chmod(0o644)

    files.replace(file, "after")

    assert file.read_text() == "after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_what_can_not_be_written_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path: Path):
    file = tmp_path / "kept"
    file.write_text("before")

    with pytest.raises(UnicodeEncodeError):
        files.replace(file, "after\ud800")

    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_where_there_is_no_folder_it_says_so(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        files.replace(tmp_path / "gone" / "kept", "after")
