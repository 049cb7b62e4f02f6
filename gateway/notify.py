# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells systemd how we are: ``sd_notify(3)`` over its datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

MICROSECONDS = 1_000_000


class Notifier:
    """Sends states to the service manager; does nothing where there is none. Never raises."""

    def __init__(self, environ: Mapping[str, str], *, pid: int) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        mine = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        limit = environ.get("WATCHDOG_USEC", "")
        self._watchdog_s = int(limit) / MICROSECONDS if mine and limit.isascii() and limit.isdigit() else None

    @classmethod
    def of_process(cls) -> Notifier:
        """Return the notifier of this process's own environment."""
        return cls(os.environ, pid=os.getpid())

    @property
    def watchdog_every_s(self) -> float | None:
        """How often `watchdog` should be called: half of systemd's limit; None if it doesn't watch."""
        return self._watchdog_s / 2 if self._watchdog_s else None

    def ready(self, status: str) -> None:
        """Say that intake can store."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """Say in one line how we are."""
        self._send(f"STATUS={_one_line(status)}")

    def watchdog(self) -> None:
        """Say that every loop of ours has moved lately."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that we are on our way out."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(text.encode(), self._address)
        except OSError:
            # The service manager went away or is full; it will ask again by its own watchdog.
            return


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]
