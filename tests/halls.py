# SPDX-License-Identifier: GPL-3.0-or-later
"""A hall in memory, by the words of its protocol alone: what the chat page is tested against."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from bridges.lan.hall import Cost, Line, Mark, Person, Refusal, Room
from gateway.model import NativeId, SenderId

PACKET_BYTES = 200


class MemoryHall:
    """Two rooms; the town's is on radio as well."""

    def __init__(self) -> None:
        self.said: list[Line] = []
        self.persons: dict[str, Person] = {}
        self.refusal: Refusal | None = None
        """What everybody is told who says something."""
        self.stands = ""
        """What everybody is told of their asking for the radio."""
        self.failure: Exception | None = None
        self.followers: dict[asyncio.Queue[Line | None], str] = {}
        self.clock_ms = 1_790_000_000_000

    def rooms(self) -> Sequence[Room]:
        return (Room(name="town", members=("Matrix", "radio LongFast")), Room(name="help/desk", notice="slow mode"))

    def own_room(self, person: Person) -> Room:
        return Room(name=person.id)

    async def lines(self, room: str, *, after: int = 0, before: int | None = None, limit: int = 50) -> Sequence[Line]:
        found = [line for line in self.said if line.room == room and line.arrival > after]
        if before is not None:
            found = [line for line in found if line.arrival < before]
        return found[:limit] if after else found[-limit:]

    async def follow(self, room: str) -> AsyncGenerator[Line]:
        queue: asyncio.Queue[Line | None] = asyncio.Queue()
        self.followers[queue] = room
        try:
            while (line := await queue.get()) is not None:
                yield line
        finally:
            del self.followers[queue]

    async def say(self, person: Person, room: str, text: str, *, reply_to: NativeId | None = None) -> Line | Refusal:
        if self.failure is not None:
            raise self.failure
        if self.refusal is not None:
            return self.refusal
        if text.startswith("/"):
            return self._command(person, room, text)
        return self.hear(text, name=person.nick, room=room, network="page", reply_to=reply_to, state="radio: waiting")

    def standing(self, person: Person) -> str:
        del person
        return self.stands

    async def react(self, person: Person, room: str, line: NativeId, emoji: str) -> Line | Refusal:
        del person, room
        found = next((one for one in self.said if one.id == line), None)
        if found is None:
            return Refusal(reason="that message is no longer here")
        return self.change(found, marks=(*found.marks, Mark(emoji=emoji, count=1)))

    def cost(self, person: Person, room: str, text: str) -> Cost:
        size = len(f"{person.nick}: {text}".encode())
        packets = -(-size // PACKET_BYTES)
        on_air = room == "town"
        return Cost(
            bytes_left=PACKET_BYTES - size,
            packets=packets if on_air else 1,
            airtime_ms=packets * 1300 if on_air else 0,
            reaches=("Matrix", "radio") if on_air else (),
        )

    def people(self, room: str) -> Sequence[Person]:
        del room
        return tuple(self.persons.values())

    def join(self, nick: str, key: str) -> Person | Refusal:
        if not nick or nick.lower() == "operator":
            return Refusal(reason="that name is reserved")
        if any(one.nick == nick and one.key != key for one in self.persons.values()):
            return Refusal(reason="that name is taken")
        self.persons[key] = Person(id=SenderId(f"~{nick}@hilltop"), nick=nick, key=key)
        return self.persons[key]

    def hear(
        self,
        text: str,
        *,
        name: str = "Bea",
        room: str = "town",
        network: str = "radio",
        reply_to: NativeId | None = None,
        **more: object,
    ) -> Line:
        """Somebody says something, anywhere."""
        number = len(self.said) + 1
        line = Line(
            id=NativeId(f"mt:a1b2c301:{number}"),
            arrival=number,
            room=room,
            sender=SenderId("!a1b2c301"),
            name=name,
            network=network,
            verified=bool(more.pop("verified", False)),
            text=text,
            said_ms=self.clock_ms + 1000 * number,
            reply_to=reply_to,
            **more,  # type: ignore[arg-type]
        )
        self.said.append(line)
        self._tell(line)
        return line

    def change(self, line: Line, **fields: object) -> Line:
        """A line changes where it stands."""
        changed = replace(line, **fields)  # type: ignore[arg-type]
        self.said[self.said.index(line)] = changed
        self._tell(changed)
        return changed

    def end_followers(self) -> None:
        """Every follower was too slow."""
        for queue in self.followers:
            queue.put_nowait(None)

    def _tell(self, line: Line) -> None:
        for queue, room in self.followers.items():
            if room == line.room:
                queue.put_nowait(line)

    def _command(self, person: Person, room: str, text: str) -> Line | Refusal:
        answer = f"you said {text}"
        if text.startswith("/nick "):
            renamed = self.join(text.removeprefix("/nick "), person.key)
            if isinstance(renamed, Refusal):
                return renamed
            answer = f"you are {renamed.nick} now"
        return Line(
            id=NativeId("web:hilltop/answer"),
            arrival=0,
            room=room,
            sender=SenderId("@hilltop"),
            name="hilltop",
            network="lan",
            verified=True,
            text=answer,
            said_ms=self.clock_ms,
        )
