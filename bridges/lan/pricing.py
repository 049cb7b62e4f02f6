# SPDX-License-Identifier: GPL-3.0-or-later
"""What a line would take, as its writer is told. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bridges.lan.hall import Cost
from bridges.lan.limits import size
from gateway.model import Reckoned, phrase


def cost_of(reckoned: Sequence[Reckoned], *, most: int, text: str) -> Cost:
    """Return the cost of a line that would go to these addresses, and may have `most` bytes here."""
    there = [one for one in reckoned if not one.refusal]
    on_air = [one for one in there if one.airtime_ms is not None]
    left = most - size(text)
    return Cost(
        bytes_left=min([left, *(one.bytes_left for one in there)]),
        packets=sum(one.parts for one in on_air),
        airtime_ms=sum(one.airtime_ms or 0 for one in on_air),
        reaches=tuple(str(one.to) for one in there),
        not_reached=tuple(
            phrase("%(where)s: %(why)s", where=str(one.to), why=one.refusal) for one in reckoned if one.refusal
        ),
    )
