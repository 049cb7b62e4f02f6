# SPDX-License-Identifier: GPL-3.0-or-later
"""Three boxes in a row, as processes: whatever befalls them, what was said is everywhere, once, in each one's order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.lan_faults import FAULTS, backlog, cut, killed, tail_lost
from tests.lan_row import Carrier, EthernetLink, Row, ethernet_row, loopback_row

HEALED_WITHIN_S = 20.0
LONG_S = 35.0
"""All that was open is given up, and who is cut off is taken for gone."""
SHORT_S = 1.0

Fault = Callable[[Row, float], Awaitable[float]]


async def few(row: Row, cut_s: float) -> float:
    return await backlog(row, cut_s, 300)


@pytest.mark.parametrize("fault", [cut, killed, few, tail_lost])
async def test_over_relays_nothing_is_lost_or_shown_twice_whatever_befalls_the_boxes(
    tmp_path: Path, fault: Fault
) -> None:
    async with loopback_row(tmp_path) as row:
        await fault(row, SHORT_S)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_silent_cut_heals_within_twenty_seconds_whatever_befalls_the_boxes_in_it(
    tmp_path: Path, fault: Fault
) -> None:
    async with ethernet_row(tmp_path, EthernetLink) as row:
        took_s = await fault(row, LONG_S)
        print(f"{fault.__name__}: healed in {took_s:.1f} s")
        assert took_s <= HEALED_WITHIN_S


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_lost_carrier_heals_within_twenty_seconds(tmp_path: Path) -> None:
    async with ethernet_row(tmp_path, Carrier) as row:
        took_s = await cut(row, LONG_S)
        print(f"carrier: healed in {took_s:.1f} s")
        assert took_s <= HEALED_WITHIN_S
