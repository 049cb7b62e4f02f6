# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said: forms, answered by a redirect to the page, or to a script by what became of it."""

from __future__ import annotations

import math
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from bridges.lan.hall import Line, Person, Refusal, Room
from bridges.lan.page.desk import EMOJI, Desk
from bridges.lan.page.plain import one_line, plain
from bridges.lan.page.problem import problem
from bridges.lan.page.rendering import costing, told
from bridges.lan.page.visit import Visit, form_of, keep
from gateway.model import NativeId

NICK_CHARACTERS = 40
_AFTER_POST = 303


class Speaking:
    """The forms."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Return what is served."""
        return [
            Route("/join", self._join, methods=["POST"]),
            Route("/r/{room:path}/say", self._say, methods=["POST"]),
            Route("/r/{room:path}/react", self._react, methods=["POST"]),
            Route("/r/{room:path}/cost", self._cost, methods=["POST"]),
        ]

    async def _join(self, request: Request) -> Response:
        desk, visit = self._desk, self._desk.visit(request)
        form = await form_of(request)
        if (refusal := self._refusal(request, visit, form)) is not None:
            return refusal
        if (refusal := desk.too_often(request, desk.joins, visit.prefix)) is not None:
            return refusal
        nick = one_line(form.get("nick", ""), NICK_CHARACTERS)
        joined = desk.guests.join(nick)
        if joined is None:
            desk.refused.count(503)
            return problem(request, 503, "crowded", {"Retry-After": "600"})
        rooms = desk.hall.rooms()
        if isinstance(joined, Refusal):
            reason = told(visit.language, joined.reason)
            return desk.page(request, visit, "hall.html", 422, rooms=rooms, nick=nick, refusal=reason)
        person, capability = joined
        now = replace(visit, person=person, capability=capability, in_path=True)
        room = next((room.name for room in rooms if room.name == form.get("room")), rooms[0].name if rooms else "")
        response = RedirectResponse(now.link("r", room, "") if room else now.link(""), _AFTER_POST)
        keep(response, desk.cookie, capability)
        return response

    async def _say(self, request: Request) -> Response:
        desk, visit, room = self._desk, self._desk.visit(request), self._desk.room(request)
        form = await form_of(request)
        if (refusal := self._refusal(request, visit, form)) is not None:
            return refusal
        if visit.person is None:
            return _nobody(request, visit)
        text, reply_to = plain(form.get("text", "")).strip(), form.get("reply_to", "")
        cost = desk.hall.cost(visit.person, room.name, text)
        if text and ("look" in form or (cost.packets > 1 and "confirmed" not in form)):
            words = costing(visit.language, cost)
            return desk.room_page(request, visit, room, preview=cost, costing=words, text=text, reply_to=reply_to)
        # Nothing to say, or said before: reloading a page sends its form again.
        if not text or not desk.guests.first_time(visit.person, form.get("form", "")):
            return self._done(request, visit, room)
        return await self._take(request, visit, visit.person, room, form)

    async def _take(self, request: Request, visit: Visit, person: Person, room: Room, form: dict[str, str]) -> Response:
        text, reply_to = plain(form.get("text", "")).strip(), form.get("reply_to", "")
        said: Line | Refusal | None = None
        try:
            said = await self._desk.hall.say(person, room.name, text, reply_to=NativeId(reply_to) if reply_to else None)
        finally:
            if not isinstance(said, Line):
                self._desk.guests.not_sent(person, form.get("form", ""))
        if isinstance(said, Refusal):
            return self._not_taken(request, visit, room, said, {"text": text, "reply_to": reply_to})
        self._desk.guests.renamed(person, room.name)
        return self._done(request, visit, room, said.text if text.startswith("/") else "")

    async def _react(self, request: Request) -> Response:
        desk, visit, room = self._desk, self._desk.visit(request), self._desk.room(request)
        form = await form_of(request)
        if (refusal := self._refusal(request, visit, form)) is not None:
            return refusal
        if visit.person is None:
            return _nobody(request, visit)
        emoji, line = form.get("emoji", ""), form.get("reply_to", "")
        if emoji not in EMOJI or not line:
            return problem(request, 400, "form")
        done = await desk.hall.react(visit.person, room.name, NativeId(line), emoji)
        if isinstance(done, Refusal):
            return self._not_taken(request, visit, room, done, {"reply_to": line})
        return self._done(request, visit, room)

    async def _cost(self, request: Request) -> Response:
        """What a text would take, for a script; the text is in the body, for addresses are kept in many places."""
        desk, visit, room = self._desk, self._desk.visit(request), self._desk.room(request)
        form = await form_of(request)
        if (refusal := self._refusal(request, visit, form)) is not None:
            return refusal
        if visit.person is None:
            return _nobody(request, visit)
        cost = desk.hall.cost(visit.person, room.name, plain(form.get("text", "")).strip())
        not_reached = [str(told(visit.language, reason).striptags()) for reason in cost.not_reached]
        return JSONResponse({"words": costing(visit.language, cost), "not": not_reached, "many": cost.packets > 1})

    def _refusal(self, request: Request, visit: Visit, form: dict[str, str]) -> Response | None:
        if not self._desk.guests.is_token(visit.subject, form.get("token", "")):
            self._desk.refused.count(403)
            return problem(request, 403, "form")
        return self._desk.too_often(request, self._desk.posts, visit.prefix)

    def _not_taken(
        self, request: Request, visit: Visit, room: Room, refusal: Refusal, back: dict[str, str]
    ) -> Response:
        """Say why, and give back what was written."""
        reason = told(visit.language, refusal.reason)
        wait = math.ceil(refusal.retry_after_s) if refusal.retry_after_s is not None else 0
        status = 429 if wait else 422
        if _is_script(request):
            response: Response = JSONResponse({"reason": reason.striptags(), "wait": wait}, status)
        else:
            response = self._desk.room_page(request, visit, room, status, refusal=reason, wait=wait, **back)
        if wait:
            response.headers["Retry-After"] = str(wait)
        return response

    def _done(self, request: Request, visit: Visit, room: Room, answer: str = "") -> Response:
        """A command's answer is for who asked alone; anything else is in the room."""
        if _is_script(request):
            return JSONResponse({"answer": told(visit.language, answer).striptags()})
        if answer:
            return self._desk.room_page(request, self._desk.visit(request), room, answer=answer)
        return RedirectResponse(visit.link("r", room.name, ""), _AFTER_POST)


def _nobody(request: Request, visit: Visit) -> Response:
    """Somebody with no nickname: to where one is chosen."""
    if _is_script(request):
        return JSONResponse({"join": visit.link("")}, 403)
    return RedirectResponse(visit.link(""), _AFTER_POST)


def _is_script(request: Request) -> bool:
    return request.headers.get("accept", "").startswith("application/json")
