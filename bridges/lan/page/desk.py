# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page's two halves share: reading and speaking."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bridges.lan.hall import Hall, Line, Room
from bridges.lan.page.forms import SentForms
from bridges.lan.page.guard import Refused
from bridges.lan.page.guests import Guests
from bridges.lan.page.problem import problem
from bridges.lan.page.quoting import Quotes
from bridges.lan.page.rates import Buckets
from bridges.lan.page.rendering import Quoted, answer, html
from bridges.lan.page.settings import PageSettings
from bridges.lan.page.visit import Visit, visit_of
from bridges.lan.page.whispers import Whispers
from gateway.model import NativeId

_NOTHING_COMPOSED: dict[str, Any] = {
    "text": "",
    "reply_to": "",
    "form": "",
    "refusal": "",
    "wait": 0,
    "answer": "",
    "preview": None,
    "again": False,
    "whispers": 0,
}
EMOJI = ("👍", "❤️", "😂", "✅", "❗")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One page's parts."""

    hall: Hall
    settings: PageSettings
    guests: Guests
    forms: SentForms
    whispers: Whispers
    quotes: Quotes
    refused: Refused
    monotonic_s: Callable[[], float]
    reads: Buckets
    posts: Buckets
    joins: Buckets

    @property
    def cookie(self) -> str:
        """The cookie's name: browsers keep those of all ports of a host together."""
        return f"crossband-{self.settings.port}"

    def visit(self, request: Request) -> Visit:
        """Return who asks."""
        return visit_of(request, self.guests, self.cookie)

    def room(self, request: Request) -> Room:
        """Return the room that is asked for; a 404 where there is none."""
        name = request.path_params["room"]
        found = next((room for room in self.rooms(self.visit(request)) if room.name == name), None)
        if found is None:
            raise HTTPException(404)
        return found

    def rooms(self, visit: Visit) -> Sequence[Room]:
        """Return the rooms there are for whoever asks: everybody's, and their own, where nobody else reads."""
        return self.hall.rooms() if visit.person is None else (*self.hall.rooms(), self.hall.own_room(visit.person))

    def quoted(self, line: Line) -> Quoted | None:
        """Return what a line answers, as far as that is known."""
        return self.quotes.get(line.reply_to) if line.reply_to is not None else None

    def too_often(self, request: Request, buckets: Buckets, prefix: str) -> Response | None:
        """Return a 429 if this household asks too often."""
        wait = buckets.take(prefix, self.monotonic_s())
        if not wait:
            return None
        self.refused.count(429)
        return problem(request, 429, "often", {"Retry-After": str(math.ceil(wait))})

    def page(self, request: Request, visit: Visit, template: str, status: int = 200, /, **more: Any) -> Response:
        """Return a page of this box."""
        token = self.guests.token(visit.subject)
        content = html(visit.language, template, visit=visit, settings=self.settings, token=token, **more)
        return answer(request, content, status)

    def room_page(self, request: Request, visit: Visit, room: Room, status: int = 200, /, **compose: Any) -> Response:
        """Return a room's page. `compose`: what the form shows that isn't empty."""
        shown = {**_NOTHING_COMPOSED, **compose}
        shown["form"] = shown["form"] or secrets.token_urlsafe(12)
        quoted = self.quotes.get(NativeId(shown["reply_to"])) if shown["reply_to"] else None
        return self.page(
            request,
            visit,
            "room.html",
            status,
            room=room,
            rooms=self.rooms(visit),
            people=self.hall.people(room.name),
            standing=self.hall.standing(visit.person) if visit.person is not None else "",
            quoted=quoted,
            emoji=EMOJI,
            **shown,
        )
