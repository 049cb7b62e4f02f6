# SPDX-License-Identifier: GPL-3.0-or-later
"""Ethernet in this machine: hosts with a network of their own, switches between them, cables that can be cut."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.namespaces import _give_up

T = TypeVar("T")
_NEW_NETWORK = 0x40000000


class Host:
    """A thread with an event loop in a network of its own; processes that it starts are there, too."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self.error = 0
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def call(self, work: Callable[[], T]) -> T:
        async def there() -> T:
            return work()

        return self.run(there())

    def ip(self, words: str) -> None:
        self.call(lambda: subprocess.run(["ip", *words.split()], check=True, capture_output=True))

    def carried(self) -> int:
        """Return the bytes that came and went over all its cables."""
        rows = self.call(lambda: Path("/proc/thread-self/net/dev").read_text()).splitlines()[2:]
        columns = [row.split(":") for row in rows]
        return sum(sum(int(told.split()[at]) for at in (0, 8)) for name, told in columns if name.strip() != "lo")

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _live(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_NEW_NETWORK) != 0:
            self.error = ctypes.get_errno()
        self.id = threading.get_native_id()
        self._loop = asyncio.new_event_loop()
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


class Ethernet:
    """Switches in the air between hosts."""

    def __init__(self, air: Host, running: ExitStack) -> None:
        self._air = air
        self._running = running

    def host(self) -> Host:
        host = Host()
        self._running.callback(host.stop)
        host.ip("link set lo up")
        return host

    def switch(self, name: str) -> None:
        self._air.ip(f"link add {name} type bridge")
        self._air.ip(f"link set {name} up")

    def plug(self, host: Host, cable: str, switch: str, address: str) -> None:
        """Plug a host into a switch by a cable, whose near end has this address."""
        self._air.ip(f"link add s{cable} type veth peer name {cable}")
        self._air.ip(f"link set {cable} netns {host.id}")
        self._air.ip(f"link set s{cable} master {switch} up")
        host.ip(f"addr add {address}/24 dev {cable}")
        host.ip(f"link set {cable} up")

    def cut(self, cable: str) -> None:
        """Let nothing through any more; the carrier stays."""
        self._air.ip(f"link set s{cable} nomaster")

    def mend(self, cable: str, switch: str) -> None:
        self._air.ip(f"link set s{cable} master {switch}")

    def lose_carrier(self, cable: str) -> None:
        """Pull the cable out at the switch."""
        self._air.ip(f"link set s{cable} down")

    def regain_carrier(self, cable: str) -> None:
        self._air.ip(f"link set s{cable} up")


def why_no_networks() -> str:
    """Return why this machine gives a test no networks of its own; empty: it does."""
    if shutil.which("ip") is None:
        return "no `ip` on PATH (Debian: iproute2)"
    host = Host()
    host.stop()
    return f"no network namespace: {os.strerror(host.error)}" if host.error else ""


@contextmanager
def ethernet() -> Iterator[Ethernet]:
    """Have an empty one. Needs root and iproute2: skips on a laptop, fails in CI."""
    if reason := why_no_networks():
        _give_up(reason)
    with ExitStack() as running:
        air = Host()
        running.callback(air.stop)
        air.ip("link set lo up")
        yield Ethernet(air, running)
