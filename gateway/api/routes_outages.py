# SPDX-License-Identifier: GPL-3.0-or-later
"""What was away, when and why, and what became of what had to wait for it."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from gateway.api.deps import Before, Limit, View
from gateway.api.gateway import GatewayView
from gateway.api.schemas_outages import OutageOut, OutagePage
from gateway.journal import Outage, OutageKind

router = APIRouter(prefix="/api/v1", tags=["status"])

COUNT_FOR_S = 0.5
"""How long one answer may take to count what is not settled; beyond it the counts are older."""


@router.get("/outages")
async def outages(
    view: View, kind: OutageKind | None = None, name: str | None = None, before: Before = None, limit: Limit = 100
) -> OutagePage:
    """Return the outages of bridges, queue, journal and the gateway itself, the latest first."""
    found = await listed(view, kind=kind, name=name, before=before, limit=limit)
    rows = [outage_out(one) for one in found]
    return OutagePage(outages=rows, next_before=found[-1].no if len(found) >= limit else None)


async def listed(
    view: GatewayView,
    *,
    limit: int,
    kind: OutageKind | None = None,
    name: str | None = None,
    before: int | None = None,
    for_s: float = COUNT_FOR_S,
) -> tuple[Outage, ...]:
    """Return outages as they are now, as far as the time suffices to count."""
    log = view.journal.outages
    until = view.clock.monotonic() + for_s
    found = await log.listed(before=before, limit=limit, kind=kind, name=name)
    return tuple(
        [
            one if one.is_settled else await log.counted(one, for_s=max(0.0, until - view.clock.monotonic()))
            for one in found
        ]
    )


def outage_out(outage: Outage) -> OutageOut:
    """Write an outage."""
    return OutageOut(
        no=outage.no,
        kind=outage.kind.value,
        name=outage.name,
        began_ms=outage.began_ms,
        ended_ms=outage.ended_ms,
        lasted_s=outage.lasted_s,
        reason=outage.reason,
        counted_ms=outage.counted_ms,
        buffered=outage.became.buffered,
        **asdict(outage.became),
    )
