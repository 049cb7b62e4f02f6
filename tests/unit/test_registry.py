# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.registry: kinds and commands through entry points."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import pytest

from gateway.model import BridgeKind, ConfigError
from gateway.registry import Registry, command_groups


def _broken() -> NoReturn:
    raise ImportError("no module named radio_library")


KIND = BridgeKind(create=lambda _: pytest.fail("not built"), check=lambda _: frozenset())


def test_a_kind_is_found_by_its_name() -> None:
    assert Registry({"air": lambda: KIND}).kind("air") is KIND


def test_an_unknown_kind_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="called 'sea'") as caught:
        Registry({"town": lambda: KIND, "air": _broken}).kind("sea")

    assert caught.value.key == "kind"
    assert caught.value.mend == "Known kinds: air, town"


def test_a_kind_that_cannot_be_imported_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="radio_library"):
        Registry({"air": _broken}).kind("air")


def test_installed_kinds_and_commands_are_listed_without_importing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "somebridge-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebridge\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[gateway.bridges]\nsome = somebridge_missing:kind\n[gateway.commands]\nsome = somebridge_missing:commands\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    assert "some" in Registry.installed().names
    assert "some" in command_groups()
    assert "somebridge_missing" not in sys.modules
    with pytest.raises(ConfigError, match="can't be loaded"):
        Registry.installed().kind("some")
