# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read: the rooms, their lines, the address for the wall. Nothing here changes anything."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bridges.lan.hall import Room
from bridges.lan.page.around import Around, around
from bridges.lan.page.assets import served
from bridges.lan.page.desk import Desk
from bridges.lan.page.guard import POLICY, host_of, is_foreign
from bridges.lan.page.live import Live
from bridges.lan.page.placing import places
from bridges.lan.page.problem import problem
from bridges.lan.page.qr import qr_svg
from bridges.lan.page.rates import Places
from bridges.lan.page.stream import EventStream, Replay
from bridges.lan.page.visit import CAPABILITY, Visit

LINES = 50
REFRESH_S = 10
_FRAME = {"Content-Security-Policy": POLICY.format(ancestors="'self'"), "X-Frame-Options": "SAMEORIGIN"}
_LARGEST = 2**62


class Reading:
    """The pages."""

    def __init__(self, desk: Desk, live: Live, replay: Replay, places: Places) -> None:
        self._desk = desk
        self._live = live
        self._replay = replay
        self._places = places

    def routes(self) -> list[Route]:
        """Return what is served."""
        return [
            Route("/", self._hall),
            Route("/a/{name}", self._asset),
            Route("/qr", self._wall),
            Route("/qr.svg", self._code),
            Route("/help", self._help),
            Route("/r/{room:path}/lines", self._lines),
            Route("/r/{room:path}/events", self._events),
            Route("/r/{room:path}/", self._room),
        ]

    async def _hall(self, request: Request) -> Response:
        desk, visit = self._desk, self._desk.visit(request)
        if (refusal := desk.too_often(request, desk.reads, visit.prefix)) is not None:
            return refusal
        return desk.page(request, visit, "hall.html", rooms=desk.hall.rooms(), nick="", refusal="")

    async def _room(self, request: Request) -> Response:
        desk, visit, room = self._desk, self._desk.visit(request), self._desk.room(request)
        if (refusal := desk.too_often(request, desk.reads, visit.prefix)) is not None:
            return refusal
        if visit.capability and not visit.in_path and CAPABILITY in request.scope:
            # The cookie came back: who they are needn't stand in the address, where others see it.
            return RedirectResponse(visit.link("r", room.name, ""), 303)
        whispers = await self._whispers(visit, room)
        return desk.room_page(request, visit, room, reply_to=request.query_params.get("reply", ""), whispers=whispers)

    async def _whispers(self, visit: Visit, room: Room, upto: int = 0) -> int:
        """Return how much somebody was told alone that they don't see where they are."""
        if visit.person is None:
            return 0
        if room.name != visit.person.id:
            return await self._desk.whispers.count(visit.person, upto)
        self._desk.whispers.seen(visit.person, upto)
        return 0

    async def _lines(self, request: Request) -> Response:
        """The lines alone, in a frame: it loads itself again, and what is being typed beside it stays."""
        desk, visit, room = self._desk, self._desk.visit(request), self._desk.room(request)
        if (refusal := desk.too_often(request, desk.reads, visit.prefix)) is not None:
            return refusal
        before = _number(request.query_params.get("before"))
        held = before is not None or "hold" in request.query_params
        lines = await desk.hall.lines(room.name, before=before, limit=LINES)
        desk.quotes.remember(lines)
        me = visit.person.id if visit.person else ""
        shown = [(line, desk.quoted(line), place) for line, place in zip(lines, places(lines, me), strict=True)]
        whispers = await self._whispers(visit, room, 0 if held else max((line.arrival for line in lines), default=0))
        context = {"whispers": whispers, "lines": shown, "held": held, "full": len(lines) >= LINES}
        response = desk.page(request, visit, "lines.html", room=room, **context)
        response.headers.update(_FRAME)
        if not held:
            # A browser loads another address anew. No #end in it: that would scroll the page around the frame as well.
            turn = (_number(request.query_params.get("n")) or 0) % 1000 + 1
            response.headers["Refresh"] = f"{REFRESH_S}; url={visit.link('r', room.name, 'lines', n=str(turn))}"
        return response

    async def _events(self, request: Request) -> Response:
        desk, visit, room = self._desk, self._desk.visit(request), self._desk.room(request)
        if (refusal := desk.too_often(request, desk.reads, visit.prefix)) is not None:
            return refusal
        if is_foreign(request.headers):  # it could read nothing, but hold the household's places
            desk.refused.count(403)
            return problem(request, 403, "cross-site")
        if request.method == "HEAD":
            return Response(media_type=EventStream.media_type)
        if self._places.is_full(visit.prefix):
            desk.refused.count(503)
            return problem(request, 503, "crowded", {"Retry-After": "30"})
        last = _number(request.headers.get("last-event-id"))
        after = last if last is not None else _number(request.query_params.get("after")) or 0
        again = last is not None or "again" in request.query_params
        look = partial(around, desk.hall, room.name, visit.person, visit.language)
        return EventStream(
            self._live,
            self._replay,
            self._places,
            self._desk.whispers,
            Around(look, is_known=not again, now_s=asyncio.get_running_loop().time()),
            person=visit.person,
            room=room.name,
            prefix=visit.prefix,
            after=after,
            again=again,
            language=visit.language,
            asked=visit.asked,
        )

    async def _wall(self, request: Request) -> Response:
        desk, visit = self._desk, self._desk.visit(request)
        if (refusal := desk.too_often(request, desk.reads, visit.prefix)) is not None:
            return refusal
        return desk.page(
            request, visit, "qr.html", address=self._desk.settings.address, number=self._number_of(request)
        )

    async def _code(self, request: Request) -> Response:
        if (refusal := self._desk.too_often(request, self._desk.reads, self._desk.visit(request).prefix)) is not None:
            return refusal
        of_number = request.query_params.get("of") == "number"
        address = self._number_of(request) if of_number else self._desk.settings.address
        return Response(qr_svg(address), media_type="image/svg+xml")

    async def _help(self, request: Request) -> Response:
        desk, visit = self._desk, self._desk.visit(request)
        if (refusal := desk.too_often(request, desk.reads, visit.prefix)) is not None:
            return refusal
        return desk.page(request, visit, "help.html")

    async def _asset(self, request: Request) -> Response:
        return await served(request) or problem(request, 404, "missing")

    def _number_of(self, request: Request) -> str:
        """By number, for phones that know no such names: the address at which we were reached."""
        host = host_of(request.headers.get("host", ""))
        server = str((request.scope.get("server") or (host,))[0])
        return self._desk.settings.address_at(server)


def _number(text: str | None) -> int | None:
    """Return a number that somebody sent; None: it is none."""
    return min(int(text[:20]), _LARGEST) if text and text.isascii() and text.isdigit() else None
