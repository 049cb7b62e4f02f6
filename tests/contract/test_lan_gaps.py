# SPDX-License-Identifier: GPL-3.0-or-later
"""What no box has any more is told: how much of whom in `lan peers`, how often in the status; and nothing else is."""

from __future__ import annotations

from pathlib import Path

from bridges.lan.administration import Administration
from gateway.clock import SystemClock
from tests.lan_boxes import LanBox, community, until


def lost(at: LanBox, of: LanBox) -> int:
    rows = Administration(at.mesh, SystemClock()).settings()["members"]
    (row,) = [row for row in rows if row["box"] == of.mesh.box]
    return int(row["counts"].get("lost", 0))


def equal(*boxes: LanBox) -> bool:
    return len({str(sorted(box.mesh.state.frontier.items())) for box in boxes}) == 1


async def test_what_nobody_has_any_more_is_told_of_its_box_and_counted_once_a_feed(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b") as (a, b):
        await a.say(5, "old")
        await a.mesh._held.write(lambda log: log.retain(2**52))
        said = await a.say(3, "new")
        b.mesh.learn(a.address)
        await until(lambda: equal(a, b))
        assert await b.heard() == said
        assert (lost(b, a), b.counts["log_gap_for_good"]) == (6, 1)  # the statement, too, though it is kept elsewhere
        assert (lost(a, b), a.counts["log_gap_for_good"]) == (0, 0)


async def test_boxes_that_have_all_of_it_tell_of_no_gap(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b") as (a, b):
        said = await a.say(5)
        b.mesh.learn(a.address)
        await until(lambda: equal(a, b))
        assert await b.heard() == said
        assert (lost(b, a), b.counts["log_gap_for_good"]) == (0, 0)
