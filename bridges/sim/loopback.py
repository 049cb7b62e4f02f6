# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of this machine for what the demo and the tests start on it."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import sys
from collections.abc import Generator

LOOPBACK = "127.0.0.1"

_NEVER_GIVEN = range(20_000, 32_000)
"""Linux gives away ports from 32768 on, others from 49152 on."""
_BLOCK = 100
"""So many are claimed at a time."""


class Ports:
    """Gives each port once, and none that another process was given in this way.

    A free port is anybody's until it is bound, and again while its server is away: who draws one by chance takes
    another's at times. So each process claims ports by the block, for as long as it lives: by the name of an abstract
    socket, which is taken in a network namespace as ports are. Without such sockets (not Linux) nothing is claimed.
    """

    def __init__(self, ports: range = _NEVER_GIVEN, *, block: int = _BLOCK) -> None:
        self._blocks = [ports[at : at + block] for at in range(0, len(ports), block)]
        self._claims: list[socket.socket] = []
        self._ports = self._claimed()

    def free(self) -> int:
        """Return the next port of ours that is free; OSError if there is none left."""
        for port in self._ports:
            if _is_free(port):
                return port
        raise OSError(errno.EADDRINUSE, "no free port left")

    def close(self) -> None:
        """Give the claims back."""
        self._ports.close()
        while self._claims:
            self._claims.pop().close()

    def _claimed(self) -> Generator[int]:
        chance = random.SystemRandom()
        for block in chance.sample(self._blocks, len(self._blocks)):
            if self._claim(block):
                yield from block

    def _claim(self, block: range) -> bool:
        if sys.platform != "linux":
            return True
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0crossband ports from {block.start}")
        except OSError:
            claim.close()
            return False
        self._claims.append(claim)
        return True


_OURS = Ports()


def free_port() -> int:
    """Return a loopback port that is free, is given to nobody else, and is none that a system gives away by itself.

    One of those might be an outgoing connection's by the time it is bound, or while its server is away. OSError
    if there is none left.
    """
    return _OURS.free()


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a closed one's is free
        probe.bind((LOOPBACK, port))
        return True
    return False
