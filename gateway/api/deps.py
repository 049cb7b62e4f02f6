# SPDX-License-Identifier: GPL-3.0-or-later
"""What every endpoint starts from."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException, Query, Request

from gateway.api.gateway import GatewayView
from gateway.model import Address, BridgeName
from gateway.routing import Route

MAX_PAGE = 500


def _view(request: Request) -> GatewayView:
    view: GatewayView = request.app.state.view
    return view


View = Annotated[GatewayView, Depends(_view)]
After = Annotated[int | None, Query(ge=0, le=2**62, description="Continue after this; newest page if absent")]
Before = Annotated[int | None, Query(ge=1, le=2**62, description="Only what is before this; the newest if absent")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


def known_address(view: GatewayView, text: str) -> Address:
    """Read an address on a configured bridge; 422 otherwise."""
    try:
        address = Address.parse(text)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    known_bridge(view, address.bridge)
    return address


def known_bridge(view: GatewayView, name: str) -> BridgeName:
    """Return the name of a configured bridge; 422 otherwise."""
    if name not in view.settings.bridges:
        known = ", ".join(view.settings.bridges) or "none"
        raise HTTPException(422, f"there is no bridge called {name!r}; there is: {known}")
    return BridgeName(name)


def known_route(view: GatewayView, name: str, *, missing: int = 404) -> Route:
    """Return a route; `missing` is the status if there is none of that name."""
    routes = view.routes()
    route = next((one for one in routes if one.name == name), None)
    if route is None:
        known = ", ".join(one.name for one in routes) or "none"
        raise HTTPException(missing, f"there is no route called {name!r}; there is: {known}")
    return route
