# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that people at the page write as lines: ``/nick``, ``/who``, ``/radio``; ``/gw`` asks the gateway's desk."""

from __future__ import annotations

from bridges.lan.admission import Admission
from bridges.lan.hall import Line, Person, Refusal
from bridges.lan.people import People
from bridges.lan.places import malformed, nick_of, person_id
from gateway.model import Address, Asked, BridgeContext, Declined, Level, NativeId, SenderId, phrase

HELP = phrase(
    "/nick NAME: be called so. /who: who is here. /msg NICK WORDS: say something to one person; whoever runs a box"
    " can read it. /me WORDS: say what you do. /radio: ask to be heard on radio."
    " /gw COMMAND: ask the gateway; /gw help says what."
)


def is_command(words: str) -> bool:
    """Whether a line asks for something instead of being said to the room."""
    return words.startswith("/") and not words.startswith("/me ")


class Slash:
    """Answers commands; an answer is a line that nobody else sees."""

    def __init__(self, context: BridgeContext, people: People, admission: Admission, *, box: str) -> None:
        self._context = context
        self._admission = admission
        self._people = people
        self._box = box

    async def answer(self, person: Person, room: str, words: str) -> Line | Refusal:
        """Do what a command says."""
        command, _, rest = words.removeprefix("/").partition(" ")
        match command:
            case "nick":
                joined = self._admission.join(rest, person.key)
                return (
                    joined
                    if isinstance(joined, Refusal)
                    else self._line(room, phrase("you are %(nick)s now", nick=joined.nick))
                )
            case "who":
                here = self._people.here(self._context.clock.monotonic())
                return self._line(room, phrase("here: %(nicks)s", nicks=", ".join(one.nick for one in here)))
            case "radio":
                return self._line(room, self._admission.ask(self._people.known(person.key) or person))
            case "gw":
                return self._line(room, await self._ask(person, room, rest))
            case "help":
                return self._line(room, HELP)
            case _:
                return Refusal(reason=phrase("there is no command /%(name)s. %(help)s", name=command[:20], help=HELP))

    def person_named(self, name: str) -> str | None:
        """Return whom somebody means: ``~nick@box``, or a nick at this page; None: nobody that can be."""
        if name.startswith("~"):
            return name if nick_of(name) and name.isprintable() and not malformed(name) else None
        here = self._people.here(self._context.clock.monotonic())
        known = next((one.id for one in here if one.nick == name), None)
        return None if known is None else person_id(name, self._box)

    async def _ask(self, person: Person, room: str, words: str) -> str:
        if self._context.level_of(person.id) >= Level.COMMANDS:
            return phrase("a nickname proves nothing: who may command the gateway does so elsewhere")
        at = Address(self._context.name, room)
        try:
            return await self._context.desk.answer(Asked(sender=person.id, words=words, at=at, private=True))
        except Declined as declined:
            return str(declined)

    def _line(self, room: str, words: str) -> Line:
        return answer_line(self._context, room, words)


def answer_line(context: BridgeContext, room: str, words: str) -> Line:
    """Return words of the box's own to one person, as a line that is in no log."""
    return Line(
        id=NativeId(""),
        arrival=0,
        room=room,
        sender=SenderId(context.box or context.name),
        name=context.box or context.name,
        network="lan",
        verified=True,
        text=words,
        said_ms=context.clock.now_ms(),
    )
