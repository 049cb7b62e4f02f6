# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody at this page says to one person alone, and is told: on the LAN, or at a radio by a box that has one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from bridges.lan.diary import Diary, readable
from bridges.lan.hall import Line, Person, Refusal, Room
from bridges.lan.people import People
from bridges.lan.places import chat_with, nick_of, other_in
from gateway.model import Clock, NativeId, phrase

NOTICE = phrase("only you see this page; whoever runs a box can read it. Reply to a line, or write /msg NICK WORDS")
HOW = Refusal(reason=phrase("write /msg NICK WORDS, /msg ~NICK@BOX WORDS, or the name of somebody at a radio"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisper:
    """What is said to one person."""

    room: str
    text: str


class Private:
    """Private talk at one page."""

    def __init__(self, diary: Diary, people: People, clock: Clock, *, named: Callable[[str], str | None]) -> None:
        """`named`: whom somebody means by ``~nick@box``, or a nick at this page; None: nobody that can be."""
        self._diary = diary
        self._people = people
        self._clock = clock
        self._named = named

    def room(self, person: Person) -> Room:
        """Return where somebody reads what is said to them, and what they said to one person."""
        return Room(name=person.id, notice=NOTICE)

    def lines(self, room: str, *, after: int, before: int | None, limit: int) -> Sequence[Line]:
        """Return what is there: nothing of before the person who reads it had the nickname."""
        person, rooms = self._people.called(room), self._diary.rooms
        if person is None or rooms is None:
            return ()
        with readable():
            since_ms = rooms.held_since(person.id, person.key, self._clock.now_ms())
            return rooms.directs(person.id, since_ms=since_ms, after=after, before=before, limit=limit)

    def follow(self, room: str) -> AsyncGenerator[Line]:
        """Yield what is new there, or changed."""
        return self._diary.follow(room)

    def addressed(self, person: Person, words: str) -> Whisper | Refusal:
        """Return what ``NAME WORDS`` says to whom."""
        name, _, text = words.strip().partition(" ")
        whom = self._named(name)
        if whom is not None and text.strip():
            return Whisper(room=whom, text=text.strip())
        return self._at_a_radio(person, words.strip())

    def answer(self, person: Person, text: str, reply_to: NativeId | None) -> Whisper | Refusal:
        """Return to whom goes what is written in somebody's own room: to whom they had that line from, or told it."""
        rooms = self._diary.rooms
        if rooms is None or reply_to is None:
            return HOW
        with readable():
            there = next((line for room in rooms.rooms_of(reply_to) if (line := rooms.line(room, reply_to))), None)
        if there is None or not _is_theirs(there, person):
            return HOW
        if other_in(there.room) or there.sender == person.id:
            return Whisper(room=there.room, text=text)
        if _spelled(there.sender):
            return Whisper(room=chat_with(person.id, there.sender), text=text)
        return Whisper(room=there.sender, text=text) if nick_of(there.sender) else HOW

    def _at_a_radio(self, person: Person, words: str) -> Whisper | Refusal:
        rooms = self._diary.rooms
        with readable():
            known = [] if rooms is None else rooms.at_radios()
        names = [(node, node) for node in {node for _, node in known} | _spelled(words)] + known
        found = [(name, node) for name, node in names if words.casefold().startswith(f"{name.casefold()} ")]
        length = max((len(name) for name, _ in found), default=0)
        nodes = {node for name, node in found if len(name) == length}
        text = words[length:].strip()
        if not nodes or not text:
            return HOW
        if len(nodes) > 1:
            return Refusal(
                reason=phrase("several are called so: write /msg and one of %(ids)s", ids=", ".join(sorted(nodes)))
            )
        return Whisper(room=chat_with(person.id, nodes.pop()), text=text)


def _spelled(words: str) -> set[str]:
    """Return the node that is named by its id, ``!a1b2c301``."""
    name = words.partition(" ")[0]
    return {name} if len(name) == 9 and name.startswith("!") else set()  # noqa: PLR2004 - eight digits


def _is_theirs(line: Line, person: Person) -> bool:
    return person.id in (line.sender, line.room) or line.room.startswith(f"{person.id}/")
