# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
from pathlib import Path

import structlog
from structlog.testing import capture_logs

from bridges.meshtastic.tally import Tally
from gateway.clock import ManualClock
from gateway.model import BridgeContext, BridgeName


def test_each_is_counted_and_each_kind_is_in_the_log_once(tmp_path: Path):
    counted: list[str] = []
    context = BridgeContext(
        name=BridgeName("radio"),
        table={},
        state_dir=tmp_path,
        clock=ManualClock(),
        random=random.Random(1),
        count=counted.append,
    )
    with capture_logs() as logged:
        tally = Tally(context, structlog.get_logger())
        for kind in ("odd", "odd", "late", "odd"):
            tally.count(kind)

    assert counted == ["odd", "odd", "late", "odd"]
    assert [line["kind"] for line in logged] == ["odd", "late"]
