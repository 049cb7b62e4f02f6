# SPDX-License-Identifier: GPL-3.0-or-later
"""The chat of this box: what its page asks (`hall.Hall`), answered by the log and by who is at the page."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace

import structlog

from bridges.lan.admission import Admission
from bridges.lan.chronicle import Chronicle
from bridges.lan.diary import Diary, readable
from bridges.lan.entries import PAGE
from bridges.lan.hall import Cost, Line, Person, Refusal, Room
from bridges.lan.holders import FILE as HOLDERS_FILE
from bridges.lan.holders import Holders
from bridges.lan.limits import MOST_LINE_BYTES, why_no_emoji, why_no_line, within
from bridges.lan.page_rules import Pace, PageRules
from bridges.lan.people import People
from bridges.lan.places import is_direct, other_in
from bridges.lan.pricing import cost_of
from bridges.lan.private import Private, Whisper
from bridges.lan.rooms import Rooms
from bridges.lan.slash import Slash, answer_line, is_command
from bridges.lan.speech import Speech
from gateway.model import (
    BridgeContext,
    BridgeError,
    Content,
    Edit,
    NativeId,
    Node,
    Reaction,
    Redaction,
    Rejected,
    RemoteId,
    RoutedConversation,
    Text,
    phrase,
)

log = structlog.get_logger()

NOT_WRITTEN = Refusal(reason=phrase("this box can't write it down just now: try again"), retry_after_s=5.0)
NOT_OPEN = Refusal(reason=phrase("this box is starting, or can't read its log: try again"), retry_after_s=5.0)

Rules = Callable[[Person, str, Content], Refusal | None]
"""Who may say what where: asked once, before anything is logged; None: it may be."""


class ChatHall:
    """The hall of one box."""

    def __init__(self, context: BridgeContext, diary: Diary, *, box: str, pace: Pace | None = None) -> None:
        self.rules: Rules = self._judge
        self._context = context
        self._diary = diary
        self._people = People(box)
        self._page_rules = PageRules(pace or Pace(), context.slow)
        self._rooms = Rooms(context, self._page_rules)
        holders = Holders(context.state_dir / HOLDERS_FILE)
        self.admission = Admission(context, self._people, holders, box=box, known=self._known)
        self._slash = Slash(context, self._people, self.admission, box=box)
        self.private = Private(diary, self._people, context.clock, named=self._slash.person_named)
        """What is said to one person alone."""

    # What there is to see.

    def rooms(self) -> Sequence[Room]:
        """Return the rooms of the routes; no direct chats."""
        return self._rooms.all()

    def own_room(self, person: Person) -> Room:
        """Return where somebody reads what they alone are told."""
        return self.private.room(person)

    async def lines(self, room: str, *, after: int = 0, before: int | None = None, limit: int = 50) -> Sequence[Line]:
        """Return lines of a room, or what one person alone is told: ask that for them only. LinkDown if it can't be."""
        if is_direct(room):
            return self.private.lines(room, after=after, before=before, limit=within(limit))
        if (rooms := self._shown(room)) is None:
            return ()
        with readable():
            return rooms.lines(room, after=after, before=before, limit=within(limit))

    async def directs(self, person: Person, *, after: int = 0, limit: int = 50) -> Sequence[Line]:
        """Return what was said to one person alone."""
        return self.private.lines(person.id, after=after, before=None, limit=within(limit))

    def follow(self, room: str) -> AsyncGenerator[Line]:
        """Yield what is new or changed in a room, or of what one person alone is told."""
        if is_direct(room):
            return self.private.follow(room)
        return self._diary.follow(room) if self._shown(room) is not None else _nothing()

    def people(self, room: str) -> Sequence[Person]:
        """Return who is at the page now: whoever is, is in every room."""
        del room
        return self._people.here(self._now_s())

    def standing(self, person: Person) -> str:
        """Say what became of somebody's asking to be heard on radio."""
        return self.admission.standing(person)

    def cost(self, person: Person, room: str, text: str) -> Cost:
        """Say what a line would take, before it is said."""
        if is_direct(room):
            return Cost(bytes_left=MOST_LINE_BYTES - len(text.strip().encode()), packets=0, airtime_ms=0, reaches=())
        if room not in self._rooms:
            nowhere = phrase("there is no room %(room)s", room=room)
            return Cost(bytes_left=0, packets=0, airtime_ms=0, reaches=(), not_reached=(nowhere,))
        if is_command(text.strip()):
            return Cost(bytes_left=MOST_LINE_BYTES, packets=0, airtime_ms=0, reaches=())
        draft = Speech(person=person, room=room, content=Text(body=text.strip())).message(self._context)
        return cost_of(self._context.reckon(draft), most=MOST_LINE_BYTES, text=text.strip())

    def has_place(self, conversation: str) -> bool:
        """Whether this is a room, or a chat with one person."""
        return is_direct(conversation) or conversation in self._rooms

    def reroute(self, conversations: tuple[RoutedConversation, ...]) -> Sequence[str]:
        """Have these rooms from now on; return those that are new."""
        return self._rooms.reroute(conversations)

    def chats(self) -> Sequence[str]:
        """Return the chats of people at pages with radio nodes that are joined at this box."""
        return self._rooms.chats()

    # What people do.

    def join(self, nick: str, key: str) -> Person | Refusal:
        """Let somebody in under a nickname, or a new one."""
        joined = self.admission.join(nick, key)
        if isinstance(joined, Person) and self._diary.rooms is not None:
            with readable():
                self._diary.rooms.held_since(joined.id, joined.key, self._context.clock.now_ms())
        return joined

    def person(self, key: str) -> Person | None:
        """Return who has this key, under the nickname they have now."""
        return self._people.known(key)

    async def say(self, person: Person, room: str, text: str, *, reply_to: NativeId | None = None) -> Line | Refusal:
        """Take a line; of a command the answer comes back as a line that nobody else sees, with no `arrival`."""
        words = text.strip()
        if (refusal := why_no_line(words)) is not None:
            return refusal
        if words.startswith("/msg "):
            return await self._whisper(person, self.private.addressed(person, words.removeprefix("/msg ")), None)
        if is_command(words):
            return await self._slash.answer(person, room, words)
        if is_direct(room):
            return await self._whisper(person, self.private.answer(person, words, reply_to), reply_to)
        emote = words.startswith("/me ")
        content = Text(body=words.removeprefix("/me ").strip(), emote=emote)
        return await self._say(Speech(person=person, room=room, content=content, reply_to=reply_to))

    async def react(self, person: Person, room: str, line: NativeId, emoji: str) -> Line | Refusal:
        """Put an emoji on a line."""
        if (refusal := why_no_emoji(emoji)) is not None:
            return refusal
        return await self._change(person, room, line, Reaction(target=RemoteId(line), emoji=emoji.strip()))

    async def edit(self, person: Person, room: str, line: NativeId, text: str) -> Line | Refusal:
        """Give a line of one's own other words."""
        words = text.strip()
        if (refusal := why_no_line(words)) is not None:
            return refusal
        return await self._change(person, room, line, Edit(target=RemoteId(line), body=words))

    async def take_back(self, person: Person, room: str, line: NativeId) -> Line | Refusal:
        """Take a line of one's own back."""
        return await self._change(person, room, line, Redaction(target=RemoteId(line)))

    def nodes(self) -> Sequence[Node]:
        """Return who is at the page, for the gateway's directory."""
        return self._people.nodes(self._now_s(), self._context.clock.now_ms())

    # Inside.

    def _judge(self, person: Person, room: str, content: Content) -> Refusal | None:
        now = self.person(person.key) or person
        silent = self.admission.why_silent(now)
        on_radio = not silent and self._is_on_radio(now, room, content)
        return self._page_rules.judge(now.key, room, content, self._now_s(), silent=silent, on_radio=on_radio)

    def _is_on_radio(self, person: Person, room: str, content: Content) -> bool:
        if other_in(room):
            return True  # by some box: this one may have no radio, or isn't joined with it yet
        draft = Speech(person=person, room=room, content=content).message(self._context)
        return any(one.airtime_ms is not None and not one.refusal for one in self._context.reckon(draft))

    def _known(self) -> Sequence[str]:
        if self._diary.rooms is None:
            return ()
        boxes = (one.name for one in self._diary.shared.roll.members if one.box != self._diary.shared.box)
        return [*self._diary.rooms.names(), *boxes]

    async def _say(self, speech: Speech) -> Line | Refusal:
        rooms = self._shown(speech.room)
        if rooms is None:
            return self._why_not_shown(speech.room)
        if speech.reply_to is not None and not _has(rooms, speech.room, speech.reply_to):
            speech = replace(speech, reply_to=None)  # retention took it, or it never was: the words go without
        return await self._take(speech)

    async def _change(
        self, person: Person, room: str, line: NativeId, content: Reaction | Edit | Redaction
    ) -> Line | Refusal:
        rooms = self._shown(room)
        if rooms is None:
            return self._why_not_shown(room)
        with readable():
            there = rooms.line(room, line)
        if there is None or there.gone:
            return Refusal(reason=phrase("that line isn't there any more"))
        if not isinstance(content, Reaction) and there.sender != person.id:
            return Refusal(reason=phrase("only who said it may change it"))
        taken = await self._take(Speech(person=person, room=room, content=content))
        with readable():
            return taken if isinstance(taken, Refusal) else rooms.line(room, line) or there

    async def _whisper(self, person: Person, said: Whisper | Refusal, reply_to: NativeId | None) -> Line | Refusal:
        if isinstance(said, Refusal):
            return said
        if self._diary.rooms is None:
            return NOT_OPEN
        return await self._take(Speech(person=person, room=said.room, content=Text(body=said.text), reply_to=reply_to))

    async def _take(self, speech: Speech) -> Line | Refusal:
        """Log what the rules have nothing against."""
        if (refusal := self.rules(speech.person, speech.room, speech.content)) is not None:
            return refusal
        native = NativeId(f"{PAGE}{self._diary.shared.box}:{secrets.token_hex(16)}")
        # Whoever asks may not know yet of a nickname that was just changed; the old one may be another's.
        now = replace(speech, person=self.person(speech.person.key) or speech.person)
        try:
            await self._diary.write(now.message(self._context, native), speech.room)
            with readable():
                line = None if self._diary.rooms is None else self._diary.rooms.line(speech.room, native)
        except Rejected as error:
            return Refusal(reason=str(error))
        except BridgeError as error:
            # What is wrong with the disk is for whoever runs the box.
            log.warning("lan_line_not_written", reason=str(error))
            return NOT_WRITTEN
        self._people.saw(speech.person, self._now_s())
        return line or answer_line(self._context, speech.room, "")

    def _why_not_shown(self, room: str) -> Refusal:
        return NOT_OPEN if room in self._rooms else Refusal(reason=phrase("there is no room %(room)s", room=room))

    def _shown(self, room: str) -> Chronicle | None:
        return self._diary.rooms if room in self._rooms else None

    def _now_s(self) -> float:
        return self._context.clock.monotonic()


def _has(rooms: Chronicle, room: str, line: NativeId) -> bool:
    with readable():
        return rooms.has(room, line)


async def _nothing() -> AsyncGenerator[Line]:
    return
    yield
