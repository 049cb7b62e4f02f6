# SPDX-License-Identifier: GPL-3.0-or-later
"""``/nodes``: who is out there."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from gateway.api.deps import Limit, View, known_bridge
from gateway.api.schemas_nodes import HearingOut, NodeOut, NodePage, PlaceOut
from gateway.model import Node
from gateway.nodes import Hearing, Known, Order, found, in_order, merged, shown_place

router = APIRouter(prefix="/api/v1", tags=["nodes"])

Search = Annotated[
    str, Query(max_length=255, description="Only those with this in their id or a name, former ones too")
]
HeardWithin = Annotated[int | None, Query(ge=1, le=2**32, description="Only those heard in the last so many seconds")]
AfterNode = Annotated[
    str | None, Query(max_length=255, description="Continue after this node; the beginning if absent")
]
Exact = Annotated[bool, Query(description="Places as exactly as they were told, not within a kilometre")]


@router.get("/nodes")
async def nodes(
    view: View,
    *,
    search: Search = "",
    bridge: str | None = None,
    heard_within_s: HeardWithin = None,
    sort: Order = Order.HEARD,
    exact: Exact = False,
    after: AfterNode = None,
    limit: Limit = 100,
) -> NodePage:
    """Return everyone the bridges know of, each once, with all that heard it; the latest heard first.

    The order is that of the moment: a page continues after its node, wherever that is by now.
    """
    only = None if bridge is None else known_bridge(view, bridge)
    now_ms = view.clock.now_ms()
    known = merged((name, node) for name, node in view.nodes() if only in {None, name})
    since_ms = None if heard_within_s is None else now_ms - heard_within_s * 1000
    sought = [one for one in found(known, search) if since_ms is None or (one.node.last_heard_ms or 0) >= since_ms]
    rest = _after(in_order(sought, sort), after)
    page = rest[:limit]
    return NodePage(
        nodes=[_node_out(one, now_ms, exactly=exact) for one in page],
        found=len(sought),
        next_after=page[-1].node.id if len(rest) > limit else None,
    )


def _after(known: list[Known], after: str | None) -> list[Known]:
    if after is None:
        return known
    place = next((place for place, one in enumerate(known) if one.node.id == after), None)
    if place is None:
        raise HTTPException(422, f"{after!r} is not in this list, or no more: begin again")
    return known[place + 1 :]


def _node_out(one: Known, now_ms: int, *, exactly: bool) -> NodeOut:
    node = one.node
    heard_ms = node.last_heard_ms
    return NodeOut(
        id=node.id,
        name=node.name,
        short_name=node.short_name,
        former_names=list(node.former_names),
        hardware=node.hardware,
        role=node.role,
        bridge=one.bridge,
        last_heard_ms=heard_ms,
        snr_db=node.snr_db,
        rssi_dbm=node.rssi_dbm,
        hops=node.hops,
        via_mqtt=node.via_mqtt,
        heard_age_s=None if heard_ms is None else max(0.0, (now_ms - heard_ms) / 1000),
        heard_by=[_hearing_out(by) for by in one.heard_by],
        battery_percent=node.battery_percent,
        has_key=node.has_key,
        place=_place_out(node, exactly=exactly),
    )


def _hearing_out(by: Hearing) -> HearingOut:
    return HearingOut(
        bridge=by.bridge,
        last_heard_ms=by.last_heard_ms,
        snr_db=by.snr_db,
        rssi_dbm=by.rssi_dbm,
        hops=by.hops,
        via_mqtt=by.via_mqtt,
    )


def _place_out(node: Node, *, exactly: bool) -> PlaceOut | None:
    place = shown_place(node, exactly=exactly)
    if place is None:
        return None
    return PlaceOut(
        latitude=place.latitude,
        longitude=place.longitude,
        altitude_m=place.altitude_m,
        accuracy_m=place.accuracy_m,
        told_ms=node.placed_ms,
    )
