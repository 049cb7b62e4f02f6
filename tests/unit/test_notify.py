# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.notify: what systemd is told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def test_states_reach_the_service_manager(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, pid=1)

    notifier.ready("all is well\nhere")
    notifier.watchdog()
    notifier.status("radio: gone")
    notifier.stopping()

    told = [manager.recv(4096).decode() for _ in range(4)]
    assert told == ["READY=1\nSTATUS=all is well here", "WATCHDOG=1", "STATUS=radio: gone", "STOPPING=1"]


def test_an_abstract_socket_is_reached_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0crossband-test-notify")
        sock.settimeout(5)

        Notifier({"NOTIFY_SOCKET": "@crossband-test-notify"}, pid=1).watchdog()

        assert sock.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_a_service_manager_nothing_happens(environ: dict[str, str]) -> None:
    Notifier(environ, pid=1).ready("x")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_limit(environ: dict[str, str], expected: float | None) -> None:
    assert Notifier(environ, pid=7).watchdog_every_s == expected
