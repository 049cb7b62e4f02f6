# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said: forms, answered by a redirect to the page, or to a script by what became of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from bridges.lan.hall import Line, Person, Refusal, Room
from bridges.lan.page.desk import EMOJI, Desk
from bridges.lan.page.placing import toward
from bridges.lan.page.plain import one_line, plain
from bridges.lan.page.problem import problem
from bridges.lan.page.rendering import costing, lapsed, not_reached, told
from bridges.lan.page.visit import Visit, form_of, keep
from bridges.lan.page.wording import to_the_sender
from gateway.model import NativeId, phrase

NICK_CHARACTERS = 40
_AFTER_POST = 303


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A form that somebody sent of a room, which may be taken."""

    request: Request
    visit: Visit
    person: Person
    room: Room
    form: Mapping[str, str] = field(repr=False)

    @property
    def text(self) -> str:
        return plain(self.form.get("text", "")).strip()

    @property
    def reply_to(self) -> str:
        return self.form.get("reply_to", "")

    @property
    def name(self) -> str:
        """Which form it is: the same one is said once."""
        return self.form.get("form", "")

    @property
    def written(self) -> dict[str, str]:
        """What goes back into the form."""
        return {"text": self.text, "reply_to": self.reply_to, "form": self.name}


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
        sent = await self._sent(request)
        if isinstance(sent, Response):
            return sent
        key, forms = sent.person.key, self._desk.forms
        # Nothing to say, or said before: reloading a page sends its form again.
        if not sent.text or forms.was_sent(key, sent.name):
            return self._done(sent)
        if (question := self._question(sent)) is not None:
            return question
        forms.sending(key, sent.name)
        return await self._take(sent)

    def _question(self, sent: _Sent) -> Response | None:
        """Show what is asked before it is said, by the same form: what it takes, or whether it is meant again."""
        desk, text = self._desk, sent.text
        cost = desk.hall.cost(sent.person, sent.room.name, text)
        is_page = bool(sent.name) and not _is_script(sent.request)  # what goes back fills in a page's form alone
        again = is_page and desk.forms.is_again(sent.person.key, sent.room.name, text, desk.monotonic_s())
        if "look" not in sent.form and ("confirmed" in sent.form or (cost.packets <= 1 and not again)):
            return None
        shown = {"preview": cost, "costing": costing(sent.visit.language, cost), "again": again, **sent.written}
        return desk.room_page(sent.request, sent.visit, sent.room, **shown)

    async def _take(self, sent: _Sent) -> Response:
        desk, reply_to = self._desk, NativeId(sent.reply_to) if sent.reply_to else None
        said: Line | Refusal | None = None
        try:
            said = await desk.hall.say(sent.person, sent.room.name, sent.text, reply_to=reply_to)
        finally:
            if not isinstance(said, Line):
                desk.forms.not_sent(sent.person.key, sent.name)
        if isinstance(said, Refusal):
            return self._not_taken(sent, said, sent.written)
        desk.guests.renamed(sent.person, sent.room.name)
        if not said.arrival:
            return self._done(sent, said.text)
        if sent.text.startswith("/") and said.room != sent.room.name:
            return self._done(sent, phrase("said to %(who)s alone", who=toward(said)))
        desk.forms.said(sent.person.key, sent.room.name, sent.text, desk.monotonic_s())
        return self._done(sent)

    async def _react(self, request: Request) -> Response:
        sent = await self._sent(request)
        if isinstance(sent, Response):
            return sent
        emoji = sent.form.get("emoji", "")
        if emoji not in EMOJI or not sent.reply_to:
            return problem(request, 400, "form")
        done = await self._desk.hall.react(sent.person, sent.room.name, NativeId(sent.reply_to), emoji)
        if isinstance(done, Refusal):
            return self._not_taken(sent, done, {"reply_to": sent.reply_to})
        return self._done(sent)

    async def _cost(self, request: Request) -> Response:
        """What a text would take, for a script; the text is in the body, for addresses are kept in many places."""
        sent = await self._sent(request)
        if isinstance(sent, Response):
            return sent
        language, cost = sent.visit.language, self._desk.hall.cost(sent.person, sent.room.name, sent.text)
        nowhere = [str(not_reached(language, reason).striptags()) for reason in cost.not_reached]
        return JSONResponse({"words": costing(language, cost), "not": nowhere, "many": cost.packets > 1})

    async def _sent(self, request: Request) -> _Sent | Response:
        """Read a room's form; or say why nothing is made of it."""
        visit, room = self._desk.visit(request), self._desk.room(request)
        form = await form_of(request)
        if (refusal := self._refusal(request, visit, form)) is not None:
            return refusal
        if visit.person is None:
            return _nobody(request, visit)
        return _Sent(request=request, visit=visit, person=visit.person, room=room, form=form)

    def _refusal(self, request: Request, visit: Visit, form: dict[str, str]) -> Response | None:
        if not self._desk.guests.is_token(visit.subject, form.get("token", "")):
            self._desk.refused.count(403)
            if visit.lapsed and _is_script(request):  # what was typed stays on the page
                return JSONResponse({"reason": lapsed(visit.language)}, 403)
            return problem(request, 403, "lapsed" if visit.lapsed else "form")
        return self._desk.too_often(request, self._desk.posts, visit.prefix)

    def _not_taken(self, sent: _Sent, refusal: Refusal, back: dict[str, str]) -> Response:
        """Say why, and give back what was written."""
        reason = told(sent.visit.language, to_the_sender(refusal.reason))
        wait = math.ceil(round(refusal.retry_after_s, 3)) if refusal.retry_after_s is not None else 0
        status = 429 if wait else 422
        if _is_script(sent.request):
            response: Response = JSONResponse({"reason": reason.striptags(), "wait": wait}, status)
        else:
            is_said = str(wait) in reason.striptags().split()  # many a reason names its end itself
            more = {"refusal": reason, "wait": 0 if is_said else wait, **back}
            response = self._desk.room_page(sent.request, sent.visit, sent.room, status, **more)
        if wait:
            response.headers["Retry-After"] = str(wait)
        return response

    def _done(self, sent: _Sent, answer: str = "") -> Response:
        """A command's answer is for who asked alone; anything else is in the room."""
        if _is_script(sent.request):
            return JSONResponse({"answer": told(sent.visit.language, answer).striptags()})
        if answer:
            return self._desk.room_page(sent.request, self._desk.visit(sent.request), sent.room, answer=answer)
        return RedirectResponse(sent.visit.link("r", sent.room.name, ""), _AFTER_POST)


def _nobody(request: Request, visit: Visit) -> Response:
    """Somebody with no nickname: to where one is chosen."""
    if _is_script(request):
        return JSONResponse({"join": visit.link("")}, 403)
    return RedirectResponse(visit.link(""), _AFTER_POST)


def _is_script(request: Request) -> bool:
    return request.headers.get("accept", "").startswith("application/json")
