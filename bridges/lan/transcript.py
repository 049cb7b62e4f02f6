# SPDX-License-Identifier: GPL-3.0-or-later
"""What events of the log say, for the rooms: who said what, when, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bridges.lan.emissions import entry_of
from bridges.lan.entries import PAGE, Entry, Said, Standing, Unknown, read
from bridges.lan.event import BoxId
from bridges.lan.fields import Unreadable
from bridges.lan.membership import Roll
from bridges.lan.store import Arrived
from bridges.lan.times import when_said
from gateway.model import Edit, Location, NativeId, Reaction, Redaction, Text, plain_name

MOST_WORDS = 320
"""Of what became of a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Something that was said, as it came."""

    said: Said
    arrival: int
    hlc: int
    at_ms: int
    """When, by the clocks of the boxes: as near as they can be believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What some events say, as `Chronicle.take` takes it."""

    heard: tuple[Heard, ...]
    standings: tuple[tuple[str, str, str, str], ...]
    """(about, box, leg, words)."""
    copies: tuple[tuple[str, str], ...] = ()
    """(native, original): as what a box said others' words elsewhere. Who heard them there logged them as news."""

    @property
    def changed(self) -> set[str]:
        """What they change: native ids."""
        copied = {native for pair in self.copies for native in pair}
        return {about(one.said) for one in self.heard} | {one[0] for one in self.standings} | copied


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """By what a box reads them."""

    box: BoxId
    """Whose it is."""
    roll: Roll
    now_ms: int
    count: Callable[[str], None]
    """Is told of each that can't be read: ``lan_entry_unknown``, ``lan_entry_unreadable``."""

    def read(self, batch: Iterable[Arrived]) -> Transcript:
        """Return what these say; what says nothing of rooms is left out."""
        heard: list[Heard] = []
        standings: list[tuple[str, str, str, str]] = []
        copies: list[tuple[str, str]] = []
        for arrived in batch:
            box = arrived.event.box
            match self._counted(arrived):
                case Said() as said:
                    heard.append(self._heard(said, arrived))
                case Standing() as one:
                    standings.append((one.about, box, self._leg(one, box), words_of_state(one)))
                case None:
                    copies += _copies(arrived.event.body)
        return Transcript(heard=tuple(heard), standings=tuple(standings), copies=tuple(copies))

    def _heard(self, said: Said, arrived: Arrived) -> Heard:
        at_ms = when_said(said, arrived, self.now_ms)
        return Heard(said=said, arrival=arrived.arrival, hlc=arrived.event.hlc, at_ms=at_ms)

    def _leg(self, standing: Standing, box: BoxId) -> str:
        """Return where it went and, as boxes call their radios alike, from which box."""
        member = self.roll.boxes.get(box)
        whose = "" if box == self.box else f" ({box[:8] if member is None else member.name})"
        return plain_name(f"{standing.leg}{whose}", MOST_WORDS)

    def _counted(self, arrived: Arrived) -> Entry | None:
        try:
            return read(arrived.event.native, arrived.event.body)
        except Unknown:
            self.count("lan_entry_unknown")
        except Unreadable:
            self.count("lan_entry_unreadable")
        return None


def _copies(body: str) -> Iterable[tuple[str, str]]:
    entry = entry_of(body)
    if entry is None or entry.as_native is None or entry.as_native == entry.utterance.native_id:
        return
    if not entry.as_native.startswith(PAGE):  # nothing said at a page is an echo
        yield entry.as_native, entry.utterance.native_id


def entry_in(arrived: Arrived) -> Entry | None:
    """Return what an event says; None if that is nothing for this release, or nothing at all."""
    try:
        return read(arrived.event.native, arrived.event.body)
    except Unreadable:
        return None


def words_of_state(standing: Standing) -> str:
    """Return what became of a message on its way to one address, for people."""
    # A reason is of one address: what parts addresses in `Line.state` is none of its own words.
    words = f"{standing.state}, {standing.reason.replace('; ', ', ')}" if standing.reason else standing.state
    return plain_name(words, MOST_WORDS)


def is_line(said: Said) -> bool:
    """Whether it is a line of its own, not about another."""
    return isinstance(said.content, Text | Location)


def about(said: Said) -> NativeId:
    """Return what it changes: itself, or what it is about."""
    content = said.content
    return NativeId(content.target) if isinstance(content, Reaction | Edit | Redaction) else said.native
