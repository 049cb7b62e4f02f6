# SPDX-License-Identifier: GPL-3.0-or-later
"""Three boxes on two segments of real Ethernet, A - B - C: found by mDNS alone, cut in silence, healed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridges.lan.identity import keep_community
from bridges.lan.membership import root_of
from tests.lan_boxes import LanBox
from tests.segments import Ethernet, Host, ethernet


@contextmanager
def row() -> Iterator[tuple[Ethernet, tuple[Host, Host, Host]]]:
    """Boxes A, B, C, and the air between them: A and B on one switch, B and C on another."""
    with ethernet() as air:
        a, b, c = air.host(), air.host(), air.host()
        air.switch("sw1")
        air.switch("sw2")
        air.plug(a, "a1", "sw1", "10.77.1.1")
        air.plug(b, "b1", "sw1", "10.77.1.2")
        air.plug(b, "b2", "sw2", "10.77.2.2")
        air.plug(c, "c2", "sw2", "10.77.2.3")
        yield air, (a, b, c)


def wait(true: Callable[[], object], within_s: float) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.slow
def test_a_silent_cut_with_a_box_killed_in_it_heals_within_twenty_seconds(tmp_path: Path) -> None:
    with row() as (air, hosts):
        host_a, host_b, host_c = hosts
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

            air.cut("c2")
            for host, box in zip(hosts, boxes, strict=True):
                host.run(box.say(20, f"{box.name}-apart"))
                host.run(box.mesh.append("mt:a1b2c301:00000007", "{}"))
            host_a.run(a.stop())
            time.sleep(35)  # all that was open is given up, and c is taken for gone
            host_a.run(a.start())
            wait(lambda: c.mesh.box not in b.mesh.live(), 10)

            air.mend("c2", "sw2")
            took_s = wait(lambda: a.mesh.state.have == b.mesh.state.have == c.mesh.state.have, 20)
            print(f"healed in {took_s:.1f} s")
            for host, box in zip(hosts, boxes, strict=True):
                heard = host.run(box.heard())
                assert len(heard) == len(set(heard)) == 61
        finally:
            for host, box in zip(hosts, boxes, strict=True):
                host.run(box.stop())
