# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kinds of bridges say of the configuration's addresses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.config import Settings
from gateway.model import Address, BridgeKind, BridgeName
from gateway.routing import Route, RoutingTable


def routing_table(settings: Settings, kinds: Mapping[BridgeName, BridgeKind]) -> RoutingTable:
    """Return the configuration's routes with what they need to know of the bridges."""
    direct = {name: bridge.direct for name, bridge in settings.bridges.items() if bridge.direct is not None}
    in_clear = frozenset(name for name, kind in kinds.items() if kind.in_clear)
    routes = tuple(replace(route, direct=_is_chat(route, kinds)) for route in settings.routes)
    between = frozenset(name for name, kind in kinds.items() if kind.between_boxes)
    return RoutingTable(routes=routes, direct=direct, in_clear=in_clear, between=between)


def _is_chat(route: Route, kinds: Mapping[BridgeName, BridgeKind]) -> bool:
    """Whether a route joins one person with one other conversation, and nobody else."""
    is_pair = len(route.ends) == 2 and route.joins(*route.ends)  # noqa: PLR2004 - two ends
    return is_pair and any(kinds[end.bridge].is_direct(end.conversation) for end in route.ends)


def is_direct(kinds: Mapping[BridgeName, BridgeKind], address: Address) -> bool:
    """Whether what goes there ends when the one person it is for has acknowledged it."""
    kind = kinds.get(address.bridge)
    return kind is not None and kind.acknowledges and kind.is_direct(address.conversation)
