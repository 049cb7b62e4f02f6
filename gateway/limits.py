# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for a route where it says nothing itself, for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.model import BridgeName
from gateway.routing import Route, RoutingTable


def in_force(table: RoutingTable, route: Route) -> Route:
    """Return a route with every limit that holds for it: those it names, and those that hold where it names none."""
    return replace(
        route,
        expires_s=_least((to.bridge, table.expires_s(route, to)) for to in route.targets),
        digest_after_s=_least(
            (to.bridge, table.stale_after_s(route, source, to))
            for source in route.sources
            for to in route.targets
            if source != to
        ),
    )


def _least(limits: Iterable[tuple[BridgeName, int | None]]) -> dict[BridgeName, int]:
    found: dict[BridgeName, int] = {}
    for bridge, limit_s in limits:
        if limit_s is not None:
            found[bridge] = min(limit_s, found.get(bridge, limit_s))
    return found
