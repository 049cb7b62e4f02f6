# SPDX-License-Identifier: GPL-3.0-or-later
"""A network of a test's own, without a default route: what a box between two switches sees."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

_NEW_NETWORK = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


class Wires:
    """The interfaces in this namespace: ``lan0`` and ``lan1``, each with a cable to a switch that is on."""

    def ip(self, words: str) -> None:
        """Run an ``ip`` command."""
        subprocess.run(["ip", *words.split()], check=True, capture_output=True)

    def add(self, name: str, address: str) -> None:
        """Plug an interface in. Its cable's far end is called ``NAME-far``."""
        self.ip(f"link add {name} type veth peer name {name}-far")
        self.ip(f"link set {name}-far up")
        self.ip(f"addr add {address}/24 dev {name}")
        self.ip(f"link set {name} up")

    def remove(self, name: str) -> None:
        """Pull an interface out: it is gone."""
        self.ip(f"link del {name}")


def _give_up(reason: str) -> NoReturn:
    """Skip on a laptop, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def own_network() -> Iterator[Wires]:
    """Move this thread into an empty network; sockets it opens from here on are there. Needs root and iproute2."""
    if shutil.which("ip") is None:
        _give_up("no `ip` on PATH (Debian: iproute2)")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.unshare(_NEW_NETWORK) != 0:
            _give_up(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        try:
            wires = Wires()
            wires.ip("link set lo up")
            wires.add("lan0", "10.69.0.1")
            wires.add("lan1", "10.69.1.1")
            yield wires
        finally:
            if _LIBC.setns(home, _NEW_NETWORK) != 0:
                pytest.exit("the way back from a test's own network is lost")
    finally:
        os.close(home)
