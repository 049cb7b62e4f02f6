# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that no two processes are given."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from bridges.sim.loopback import LOOPBACK, Ports

BLOCK = 5
FIRST = 61_000 + os.getpid() % 200 * 20
RANGE = range(FIRST, FIRST + 4 * BLOCK)
"""None that `free_port` or Linux gives, nor what another run of this test looks at."""

ALL_OF_IT = """
import sys
from bridges.sim.loopback import Ports
ports = Ports(range(*map(int, sys.argv[1:3])), block=int(sys.argv[3]))
print(*(ports.free() for _ in range(int(sys.argv[3]) + 1)), flush=True)
sys.stdin.read()
"""


def left(ports: Ports) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        while True:
            found.append(ports.free())
    return found


def test_a_port_is_given_once_though_nobody_has_bound_it() -> None:
    with contextlib.closing(Ports(RANGE, block=BLOCK)) as ports:
        assert sorted(left(ports)) == list(RANGE)
        with pytest.raises(OSError, match="no free port left"):
            ports.free()


def test_a_port_that_somebody_has_bound_is_not_given() -> None:
    with socket.socket() as theirs, contextlib.closing(Ports(RANGE, block=BLOCK)) as ports:
        theirs.bind((LOOPBACK, RANGE[7]))
        theirs.listen()
        assert set(RANGE) - set(left(ports)) == {RANGE[7]}


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_what_another_process_claimed_is_not_given_until_that_ends() -> None:
    command = [sys.executable, "-c", ALL_OF_IT, str(RANGE.start), str(RANGE.stop), str(BLOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        theirs = set(map(int, other.stdout.readline().split()))
        assert len(theirs) == BLOCK + 1
        with contextlib.closing(Ports(RANGE, block=BLOCK)) as ports:
            mine = left(ports)
        assert len(mine) == 2 * BLOCK, "it claimed two blocks"
        assert not theirs & set(mine)
        other.stdin.close()
    with contextlib.closing(Ports(RANGE, block=BLOCK)) as ports:
        assert sorted(left(ports)) == list(RANGE)
