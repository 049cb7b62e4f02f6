# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the application together: endpoints, errors, and the guard around them."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Response
from starlette.types import ASGIApp

from gateway.access import Access
from gateway.api import (
    console,
    problems,
    reference,
    routes_events,
    routes_health,
    routes_letters,
    routes_messages,
    routes_moderation,
    routes_nodes,
    routes_outages,
    routes_queue,
    routes_rulings,
    routes_settings,
    routes_status,
)
from gateway.api.gateway import GatewayView
from gateway.api.guard import Guard
from gateway.version import version

_ABOUT = """What the gateway knows, and what it can be asked to do.
Errors are application/problem+json with the reason in its detail. Bodies are JSON of at most 64 KiB."""


def create_app(view: GatewayView, *, local: bool) -> ASGIApp:
    """Build the application over a running gateway.

    `local`: for the private unix socket, where whoever can connect is trusted. Otherwise the names of
    the box and the token of ``[api]`` are asked for; ConfigError if the token's file can't be read.
    """
    access = None if local else Access.of(view.settings.api, view.settings.gateway.name)
    return Guard(_application(view, local=local), access=access)


def _application(view: GatewayView, *, local: bool) -> FastAPI:
    app = FastAPI(
        title="Crossband", version=version(), description=_ABOUT, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.state.view = view
    app.state.local = local
    app.state.places = routes_events.Places()
    problems.install(app)
    routes = (
        routes_health,
        routes_status,
        routes_nodes,
        routes_messages,
        routes_queue,
        routes_letters,
        routes_outages,
        routes_rulings,
        routes_moderation,
        routes_settings,
        routes_events,
    )
    for part in (*routes, console, reference):
        app.include_router(part.router)
    style = files("gateway.api").joinpath("assets/crossband.css").read_bytes()

    @app.get("/assets/crossband.css", include_in_schema=False)
    async def stylesheet() -> Response:
        return Response(style, media_type="text/css", headers={"Cache-Control": "max-age=300"})

    return app
