# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from bridges.matrix.login import Login, read_secret, write_secret
from gateway.model import AuthFailed


def test_a_secret_is_its_owners_alone_and_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "token"
    write_secret(file, "one")
    file.chmod(0o644)
    write_secret(file, "two")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert read_secret(file) == "two"
    assert [path.name for path in file.parent.iterdir()] == ["token"]


def test_a_secret_that_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    with pytest.raises(OSError, match="token"):
        write_secret(tmp_path / "token", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_no_secret_names_the_mend(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("none", "empty", "binary"):
        with pytest.raises(AuthFailed, match="crossband matrix login"):
            read_secret(tmp_path / name)


def test_a_token_is_never_shown() -> None:
    assert "syt_secret" not in repr(Login(user_id="@a:b", device_id="D", access_token="syt_secret"))
