# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.model.devices import MOST_HOLDERS, Holder, barred, holders


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "locks").write_text("")
    return proc


def _process(proc: Path, pid: int, name: str, *opened: Path) -> None:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_text(name + "\n")
    for number, path in enumerate(opened):
        (folder / "fd" / str(number)).symlink_to(path)


def test_who_has_a_device_open_is_named_whatever_it_is_called(tmp_path: Path, proc: Path):
    device = tmp_path / "ttyACM0"
    device.touch()
    (tmp_path / "by-id").symlink_to(device)
    _process(proc, 7, "minicom", tmp_path, device)
    _process(proc, 8, "other", tmp_path)
    _process(proc, os.getpid(), "ourselves", device)

    assert holders(str(tmp_path / "by-id"), proc=proc) == (Holder(name="minicom", pid=7),)
    assert str(Holder(name="minicom", pid=7)) == "minicom (pid 7)"


def test_who_has_it_locked_is_named_though_their_files_are_not_ours_to_see(tmp_path: Path, proc: Path):
    device = tmp_path / "ttyACM0"
    device.touch()
    found = device.stat()
    where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    locks = [f"1: FLOCK  ADVISORY  WRITE 9 {where} 0 EOF", "2: FLOCK  ADVISORY  WRITE 8 00:01:2 0 EOF"]
    (proc / "locks").write_text("\n".join(locks))
    (proc / "9").mkdir()
    (proc / "9" / "comm").write_text("meshtasticd\n")

    assert holders(str(device), proc=proc) == (Holder(name="meshtasticd", pid=9),)


def test_a_few_are_enough_and_none_is_no_error(tmp_path: Path, proc: Path):
    device = tmp_path / "ttyACM0"
    device.touch()
    for pid in range(100, 100 + 2 * MOST_HOLDERS):
        _process(proc, pid, "many", device)

    assert len(holders(str(device), proc=proc)) == MOST_HOLDERS
    assert holders(str(tmp_path / "gone"), proc=proc) == ()
    assert holders(str(device), proc=tmp_path / "nowhere") == ()


def test_what_may_not_be_opened_comes_with_the_mend(tmp_path: Path):
    device = tmp_path / "ttyACM0"
    device.touch()
    device.chmod(0o600)
    assert "70-crossband.rules" in barred(str(device))
    device.chmod(0o660)
    assert "usermod -aG" in barred(str(device)) or "start the gateway anew" in barred(str(device))
    assert barred(str(tmp_path / "gone")) == "may not be opened"
