# SPDX-License-Identifier: GPL-3.0-or-later
"""The ASGI application of the chat page, over a `Hall`.

Nobody needs script, a cookie or storage: who somebody is stands in the path (``/g/CAPABILITY/...``), which is good for
chat and nothing else, is never logged and never sent to another site.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from bridges.lan import page_name
from bridges.lan.hall import Hall
from bridges.lan.page.desk import Desk
from bridges.lan.page.forms import SentForms
from bridges.lan.page.guard import Guard, Refused, host_of
from bridges.lan.page.guests import Guests
from bridges.lan.page.live import Live
from bridges.lan.page.probes import PROBES, Apart, Probes
from bridges.lan.page.problem import problem
from bridges.lan.page.quoting import Quotes
from bridges.lan.page.rates import Buckets, Places, Rate
from bridges.lan.page.reading import Reading
from bridges.lan.page.settings import PageSettings
from bridges.lan.page.speaking import Speaking
from bridges.lan.page.stream import Replay
from bridges.lan.page.telling import Telling
from bridges.lan.page.visit import CAPABILITY
from bridges.lan.page.whispers import Whispers

READS = Rate(burst=300, per_s=40)
"""Of one household, which may be an access point with everybody behind it."""
POSTS = Rate(burst=60, per_s=4)
JOINS = Rate(burst=20, per_s=0.1)
STREAMS_EACH = 48
"""Event streams of one household: fewer than the connections it may have, so that it can still write."""
STREAMS = 400
_CAPABILITY = re.compile(r"/g/([A-Za-z0-9_-]{43})(/.*)", re.DOTALL)


class Page:
    """The chat page. It is an ASGI application; close it once nothing is served any more."""

    def __init__(
        self,
        hall: Hall,
        settings: PageSettings,
        *,
        now_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now_s`: the wall clock, for how old a nickname is. `monotonic_s`: for rates."""
        quotes = Quotes()
        self._guests = Guests(hall, settings.store, now_s)
        telling = Telling(quotes)
        self._live = Live(hall, telling)
        self.refused = Refused()
        """What was turned away, by HTTP status."""
        desk = Desk(
            hall=hall,
            settings=settings,
            guests=self._guests,
            forms=SentForms(),
            whispers=Whispers(hall),
            quotes=quotes,
            refused=self.refused,
            monotonic_s=monotonic_s,
            reads=Buckets(READS),
            posts=Buckets(POSTS),
            joins=Buckets(JOINS),
        )
        places = Places(each=STREAMS_EACH, most=STREAMS)
        reading = Reading(desk, self._live, Replay(hall, telling), places)
        routes = [*reading.routes(), *Speaking(desk).routes()]
        router = Router(routes, redirect_slashes=False)
        page = Guard(_Unfolded(_InWords(router)), names=names_of(settings), refuse=_refuse, refused=self.refused)
        probes = Guard(Probes(settings, monotonic_s), names=PROBES, refuse=_refuse, refused=self.refused)
        self._app = Apart(page, probes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    async def close(self) -> None:
        """End the event streams, and close the file of nicknames."""
        await self._live.close()
        await asyncio.to_thread(self._guests.close)


def names_of(settings: PageSettings) -> set[str]:
    """Return the names that this box may be asked under."""
    host = socket.gethostname().lower().partition(".")[0]
    box = settings.box.lower()
    given = {host_of(name) for name in (settings.name, *settings.hosts)}
    return {"localhost", host, f"{host}.local", box, f"{box}.local", *page_name.names_of(settings.box), *given} - {""}


class _Unfolded:
    """Takes who somebody is out of the path, so that there is one set of routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = _CAPABILITY.fullmatch(scope["path"])
        if match is not None:
            scope = {**scope, CAPABILITY: match[1], "path": match[2]}
        await self._app(scope, receive, send)


class _InWords:
    """Says in words what isn't there, and what can't be done with what is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            # The router raises only where it finds this.
            await self._app({**scope, "app": self}, receive, send)
        except HTTPException as error:
            reason = "method" if error.status_code == 405 else "missing"  # noqa: PLR2004  # of HTTP
            response = problem(Request(scope, receive), error.status_code, reason, dict(error.headers or {}))
            await response(scope, receive, send)


async def _refuse(status: int, reason: str, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Connection": "close"} if status in {400, 408, 413, 414, 431} else {}
    response: Response = problem(Request(scope, receive), status, reason, headers)
    await response(scope, receive, send)
