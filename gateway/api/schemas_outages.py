# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about outages."""

from __future__ import annotations

from pydantic import Field

from gateway.api.schemas import Said


class OutageOut(Said):
    """Something was away, or is; with what became of the deliveries that had to wait for it."""

    no: int
    kind: str = Field(description="bridge, queue, journal or gateway")
    name: str = Field(description="The bridge's; empty for the others")
    began_ms: int
    ended_ms: int | None = Field(description="Null: it is still away")
    lasted_s: float | None = Field(description="Null: still away, or the clock was not right")
    reason: str
    buffered: int = Field(description="Deliveries that had to wait: all of the following")
    late: int = Field(description="Sent since")
    folded: int
    expired: int
    cancelled: int
    failed: int
    waiting: int = Field(description="They still wait")
    counted_ms: int | None = Field(description="When these were counted; null: not yet")


class OutagePage(Said):
    """Outages, the latest first."""

    outages: list[OutageOut]
    next_before: int | None = Field(description="Give it as `before` for the next page; null: this is all")
