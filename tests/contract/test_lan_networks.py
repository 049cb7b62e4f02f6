# SPDX-License-Identifier: GPL-3.0-or-later
"""Three boxes on two segments of real Ethernet, A - B - C: found by mDNS alone, cut in silence, healed."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bridges.lan.identity import keep_community
from bridges.lan.membership import root_of
from tests.lan_boxes import LanBox
from tests.namespaces import _give_up

T = TypeVar("T")
_NEW_NETWORK = 0x40000000


class Host:
    """A thread with an event loop in a network of its own."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self.error = 0
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def ip(self, words: str) -> None:
        async def there() -> None:
            await asyncio.to_thread(subprocess.run, ["ip", *words.split()], check=True, capture_output=True)

        self.run(there())

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


@contextmanager
def row() -> Iterator[tuple[Host, Host, Host, Host]]:
    """Boxes A, B, C, and the air between them: A and B on one switch, B and C on another."""
    if shutil.which("ip") is None:
        _give_up("no `ip` on PATH (Debian: iproute2)")
    with ExitStack() as running:
        hosts = [Host() for _ in range(4)]
        for host in hosts:
            running.callback(host.stop)
        if hosts[0].error:
            _give_up(f"no network namespace: {os.strerror(hosts[0].error)}")
        a, b, c, air = hosts
        for host in hosts:
            host.ip("link set lo up")
        for switch in ("sw1", "sw2"):
            air.ip(f"link add {switch} type bridge")
            air.ip(f"link set {switch} up")
        plugs = [(a, "a1", "sw1", "10.77.1.1"), (b, "b1", "sw1", "10.77.1.2"), (b, "b2", "sw2", "10.77.2.2")]
        for host, name, switch, address in [*plugs, (c, "c2", "sw2", "10.77.2.3")]:
            air.ip(f"link add s{name} type veth peer name {name}")
            air.ip(f"link set {name} netns {host.id}")
            air.ip(f"link set s{name} master {switch} up")
            host.ip(f"addr add {address}/24 dev {name}")
            host.ip(f"link set {name} up")
        yield a, b, c, air


def wait(true: Callable[[], object], within_s: float) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.slow
def test_a_silent_cut_with_a_box_killed_in_it_heals_within_twenty_seconds(tmp_path: Path) -> None:
    with row() as (host_a, host_b, host_c, air):
        hosts = (host_a, host_b, host_c)
        boxes = [LanBox(name, tmp_path / name, number) for number, name in enumerate("abc")]
        a, b, c = boxes
        for box in boxes:
            box.sync, box.discover = "0.0.0.0:8448", True
            keep_community(box.folder, root_of(a.key.public_key(), "a"))
        try:
            for host, box in zip(hosts, boxes, strict=True):
                host.run(box.start())
            for box in (b, c):
                host_a.run(a.mesh.community.add(box.key.public_key().public_bytes_raw(), box.name))
            statements = host_a.run(a.mesh.community.statements())
            for host, box in ((host_b, b), (host_c, c)):
                host.run(box.mesh.community.believe(statements))
            wait(lambda: a.mesh.state.have == b.mesh.state.have == c.mesh.state.have, 30)
            assert not any(place.is_up and place.box == c.mesh.box for place in a.mesh.places)

            air.ip("link set sc2 nomaster")  # the carrier stays
            for host, box in zip(hosts, boxes, strict=True):
                host.run(box.say(20, f"{box.name}-apart"))
                host.run(box.mesh.append("mt:a1b2c301:00000007", "{}"))
            host_a.run(a.stop())
            time.sleep(35)  # all that was open is given up, and c is taken for gone
            host_a.run(a.start())
            wait(lambda: c.mesh.box not in b.mesh.live(), 10)

            air.ip("link set sc2 master sw2")
            took_s = wait(lambda: a.mesh.state.have == b.mesh.state.have == c.mesh.state.have, 20)
            print(f"healed in {took_s:.1f} s")
            for host, box in zip(hosts, boxes, strict=True):
                heard = host.run(box.heard())
                assert len(heard) == len(set(heard)) == 61
        finally:
            for host, box in zip(hosts, boxes, strict=True):
                host.run(box.stop())
