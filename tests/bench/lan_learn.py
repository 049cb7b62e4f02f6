# SPDX-License-Identifier: GPL-3.0-or-later
"""A box that joins a community whose log is full: how long until it has all, what that takes, and whom it holds up."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from pathlib import Path

from bridges.lan.event import BEFORE_FIRST, box_id, feed_id, written
from bridges.lan.hlc import COUNTS
from bridges.lan.store import Feed, Store
from tests.bench.running import resident_mib
from tests.lan_boxes import LanBox, community

EVENTS = 100_000
WRITERS = 6
"""Boxes whose words these are: of one alone 20,000 are taken at once, and then 6,000 a minute."""
STARTS = 8
LOOK_S = 0.005
BODY = json.dumps({"kind": "text", "room": "town", "sender": {"id": "!a1b2c301", "name": "Ridge"}, "text": "x" * 60})
BEGAN_MS = time.time_ns() // 1_000_000 - 86_400_000
"""Yesterday: what is older than 30 days would be dropped at the start."""


async def lan_learn(folder: Path, events: int = EVENTS) -> dict[str, float]:
    """Return `lan_learn_s`, `lan_learn_mib` (more than before, at most) and `lan_learn_stall_ms`.

    The last is the longest that the loop gave nobody else a turn; both boxes are on it, each with its own disk.
    """
    names = ("old", "new", *(f"writer {number}" for number in range(WRITERS - 2)))
    async with community(folder, *names) as boxes:
        old, new = boxes[:2]
        for box in boxes:
            if box is not new:
                await box.stop()
        await asyncio.to_thread(fill, old, boxes, events)
        await old.start()
        gc.collect()
        looking = Watch()
        new.mesh.learn(old.address)
        async with asyncio.timeout(3600):
            while new.mesh.state.have != old.mesh.state.have:
                await looking.look()
        held = sum(new.mesh.state.frontier.values())
        if held < events:
            raise RuntimeError(f"of {events} it has {held}")
        return {
            "lan_learn_s": looking.took_s,
            "lan_learn_mib": looking.peak_mib - looking.before_mib,
            "lan_learn_stall_ms": looking.stall_s * 1000,
        }


class Watch:
    """Looks at the memory, and at how late it comes to that."""

    def __init__(self) -> None:
        self.before_mib = self.peak_mib = resident_mib(os.getpid())
        self.stall_s = 0.0
        """Time of the processor that the loop took in one go; who else is at it on this machine doesn't count."""
        self._began = self._last = time.perf_counter()
        self._cpu = time.thread_time()

    async def look(self) -> None:
        await asyncio.sleep(LOOK_S)
        self.stall_s = max(self.stall_s, time.thread_time() - self._cpu)
        self.peak_mib = max(self.peak_mib, resident_mib(os.getpid()))
        self._last, self._cpu = time.perf_counter(), time.thread_time()

    @property
    def took_s(self) -> float:
        return self._last - self._began


def fill(old: LanBox, writers: list[LanBox], events: int) -> None:
    """Write what the others said over some starts of theirs into a box's log."""
    store = Store(old.folder / "log.db")
    each = -(-events // (len(writers) * STARTS))
    for number, writer in enumerate(writers):
        box = box_id(writer.key.public_key())
        for start in range(1, STARTS + 1):
            feed, head = feed_id(box, start), BEFORE_FIRST
            with store.writing():
                for seq in range(1, each + 1):
                    event = written(
                        writer.key,
                        feed=feed,
                        seq=seq,
                        hlc=(BEGAN_MS + start * each + seq) * COUNTS + number,
                        previous=head,
                        native=f"web:{number}/{start}-{seq}",
                        body=BODY,
                    )
                    store.add(event, BEGAN_MS)
                    head = event.hash
                store.keep_feeds({feed: Feed(base=0, count=each, head=head)})
    store.close()
