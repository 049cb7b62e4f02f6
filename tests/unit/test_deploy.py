# SPDX-License-Identifier: GPL-3.0-or-later
"""deploy/: the example, the unit and the udev rules are what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from gateway.config import load
from gateway.model import BridgeKind
from gateway.registry import Registry

DEPLOY = Path(__file__).parents[2] / "deploy"


def _any(name: str) -> BridgeKind:
    return BridgeKind(create=lambda _: pytest.fail(f"{name} is not built"), check=lambda _: frozenset())


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    registry = Registry({name: partial(_any, name) for name in ("matrix", "meshtastic", "lan")})

    settings = load(DEPLOY / "crossband.toml", {}, registry=registry)

    assert [route.name for route in settings.routes] == ["town", "warnings"]


def test_the_examples_commented_keys_are_defaults_that_may_be_uncommented(tmp_path: Path) -> None:
    registry = Registry({name: partial(_any, name) for name in ("matrix", "meshtastic", "lan")})
    text = re.sub(r"^#(?=\w+ = )", "", (DEPLOY / "crossband.toml").read_text(), flags=re.MULTILINE)
    (tmp_path / "all.toml").write_text(text)

    every, example = (
        load(tmp_path / "all.toml", {}, registry=registry),
        load(DEPLOY / "crossband.toml", {}, registry=registry),
    )

    assert every.journal == example.journal
    assert every.log == example.log
    assert every.emergency == example.emergency
    assert every.api.listen == example.api.listen
    assert every.queue.max_bytes == example.queue.max_bytes
    for bridge in every.bridges.values():
        assert Registry.installed().kind(bridge.kind).check(bridge.table)


def test_the_unit_notifies_and_is_watched_and_does_not_restart_on_a_wrong_configuration() -> None:
    lines = set((DEPLOY / "crossband.service").read_text().splitlines())

    assert {"Type=notify", "WatchdogSec=60", "RestartPreventExitStatus=2", "NoNewPrivileges=yes"} <= lines
    assert {"PrivateDevices=no", "DevicePolicy=closed", "CapabilityBoundingSet="} <= lines


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is part of systemd, which a container may lack")
    text = (DEPLOY / "crossband.service").read_text()
    unit = tmp_path / "crossband.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text))

    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False, timeout=60)

    assert "crossband.service" not in done.stderr, done.stderr


def test_every_board_of_the_udev_rules_is_let_in_and_kept_from_modem_manager() -> None:
    text = (DEPLOY / "70-crossband.rules").read_text()
    rules = [line for line in text.splitlines() if line and not line.startswith("#")]
    boards = [line for line in rules if "idVendor" in line]

    assert len(boards) == len(set(boards))
    assert all('GOTO="crossband_allow"' in line or 'ENV{CROSSBAND_RADIO}="1"' in line for line in boards)
    assert set(re.findall(r'GOTO="(\w+)"', text)) == set(re.findall(r'LABEL="(\w+)"', text))
    (allow,) = [line for line in rules if "GROUP=" in line]
    for part in ('GROUP="dialout"', 'MODE="0660"', 'ENV{ID_MM_DEVICE_IGNORE}="1"', 'TAG+="uaccess"'):
        assert part in allow
