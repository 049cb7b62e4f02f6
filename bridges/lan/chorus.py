# SPDX-License-Identifier: GPL-3.0-or-later
"""The boxes' side of who speaks where: a `Chorus` on the log and on what boxes tell of being there.

What a box says in others' words it writes into the log twice: before (`emitting`), so that the others leave it the
turn, and after (`emitted`). A box that dies between the two has lost its turn after one turn's time; whether its
words went out, only the network knows, so the next says them, unless it hears them there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from bridges.lan.emissions import Emissions, Entry, body_of, entry_of, name_of
from bridges.lan.event import BoxId
from bridges.lan.turns import decide
from gateway.model import Clock, Listen, MessageId, NativeId, Said, Speak, Utterance, message_id

SPEAKING_S = 10.0
"""For so long after it began, a box may not have told yet what its words are called."""
BEHIND_S = 30.0
"""So long a box that is being told of a split waits with what came in it: who said it comes behind."""
PATIENCE_S = 60.0
"""So long a box that speaks out of reach may say other things first."""
LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Which box logged a message, and where it was said."""

    box: BoxId
    said_in: str | None
    """By its common name; None: where no other box can have it from but that one."""


class Ledger(Protocol):
    """The log, and who is there, as far as it goes into this. No call but `write` waits for anything."""

    @property
    def box(self) -> BoxId:
        """This box."""
        ...

    def named(self, box: BoxId) -> str:
        """Return what people call a box."""
        ...

    def belongs(self, box: BoxId) -> bool:
        """Whether it is one of ours: let in, and not put out."""
        ...

    def serving(self) -> Mapping[BoxId, frozenset[str]]:
        """Return which other boxes were heard lately (in the last 30 s), and which conversations each serves."""
        ...

    def absent(self) -> Mapping[BoxId, frozenset[str]]:
        """Return which other boxes were heard in the last day and aren't now, and which conversations each served."""
        ...

    def serve(self, common_names: frozenset[str]) -> None:
        """Tell the others which ones this box serves."""
        ...

    def beginning(self, native_id: NativeId) -> Beginning | None:
        """Return where a message began; None if no box logged it."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether other boxes have more to tell just now: that they said it may be among it."""
        ...

    async def write(self, native: str, body: str) -> None:
        """Append durably, if it isn't there, and push to whoever is connected. Raises BridgeError."""
        ...


class LanChorus:
    """One box's.

    It must be told of every entry (`learn`): those there are when it starts, and each that comes, its own too,
    before any message of the same batch goes to the core.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._emissions = Emissions()
        self._served: frozenset[str] = frozenset()

    def learn(self, box: BoxId, body: str) -> bool:
        """Take an event's body; False if it is none of ours to read."""
        entry = entry_of(body)
        if entry is not None:
            self._emissions.learn(box, entry, self._clock.monotonic())
        return entry is not None

    def serve(self, common_names: frozenset[str]) -> None:
        """Tell the other boxes, where it changed."""
        if common_names != self._served:
            self._served = common_names
            self._ledger.serve(common_names)

    def turn(
        self,
        utterance: Utterance,
        *,
        waited_s: float,
        turn_s: float,
        at_home: bool = False,
        amends: MessageId | None = None,
        overheard_s: float | None = None,
    ) -> Speak | Listen | Said:
        """Say whose turn it is. A copy of what was said elsewhere has the turn of that."""
        original = self._emissions.echoed(utterance.native_id)
        said = utterance if original is None else replace(utterance, native_id=original.native_id)
        beginning = self._ledger.beginning(said.native_id)
        if beginning is not None and beginning.said_in == said.where:
            return Said(by=self._ledger.named(beginning.box), native_id=said.native_id)
        if waited_s < BEHIND_S and self._is_being_told(beginning):
            return Listen(for_s=LOOK_S, reason="other boxes are telling what was said meanwhile")
        if (there := self._said_otherwise(said, utterance)) is not None:
            return there
        met = overheard_s is not None and (beginning is None or beginning.said_in is not None)
        if overheard_s is not None and met and waited_s < PATIENCE_S:
            waited_s = min(waited_s, overheard_s)
        live = self._there(said.where, also_absent=met)
        return decide(
            said,
            {**self._emissions.of(said), **self._emissions.of(utterance)},
            me=self._ledger.box,
            live=live,
            first=self._first(said, amends, self._home(beginning, at_home=at_home)),
            now_s=self._clock.monotonic(),
            waited_s=waited_s,
            turn_s=turn_s,
            named=self._ledger.named,
        )

    async def emitting(self, utterance: Utterance, as_native: NativeId | None) -> None:
        """Note that this box is about to say it."""
        await self._write(Entry(utterance=utterance, is_done=False, as_native=as_native))

    async def emitted(self, utterance: Utterance, as_native: NativeId | None) -> None:
        """Note that it is there."""
        await self._write(Entry(utterance=utterance, is_done=True, as_native=as_native))

    def echoed(self, as_native: NativeId) -> Utterance | None:
        """Return what was said under this id."""
        return self._emissions.echoed(as_native)

    def vouches(self, as_native: NativeId) -> bool:
        """Whether a box that belongs says that something was said under this id."""
        return any(self._ledger.belongs(box) for box in self._emissions.tellers(as_native))

    def called(self, native_id: NativeId) -> Collection[NativeId]:
        """Return under which ids a message was said."""
        return self._emissions.called(native_id)

    def is_speaking(self, where: str) -> bool:
        """Whether another box is at it just now."""
        return self._emissions.begun(where, me=self._ledger.box, after_s=self._clock.monotonic() - SPEAKING_S)

    def _said_otherwise(self, said: Utterance, utterance: Utterance) -> Said | None:
        """Return who said it there, this box too: what a copy is a copy of, or all parts of it as copies."""
        if said.native_id != utterance.native_id:
            done = ((box, told) for box, told in self._emissions.of(said).items() if told.is_done)
            return next((Said(by=self._ledger.named(box), native_id=told.as_native) for box, told in done), None)
        copies: dict[int, dict[int, Said]] = {}
        for native_id in self._emissions.called(said.native_id):
            copied = self._emissions.echoed(native_id)
            for box, told in self._emissions.of(replace(said, native_id=native_id)).items():
                if copied is not None and told.is_done:
                    there = Said(by=self._ledger.named(box), native_id=told.as_native)
                    copies.setdefault(copied.parts, {})[copied.part] = there
        return next((found[1] for parts, found in copies.items() if len(found) == parts), None)

    def _there(self, where: str, *, also_absent: bool) -> list[BoxId]:
        """Return which other boxes may say it; `also_absent`: those that aren't heard, too."""
        served = {**self._ledger.absent(), **self._ledger.serving()} if also_absent else self._ledger.serving()
        return [box for box, names in served.items() if where in names]

    def _is_being_told(self, beginning: Beginning | None) -> bool:
        """Whether another box has it first, and what else boxes have of it is on its way."""
        return beginning is not None and beginning.box != self._ledger.box and self._ledger.is_behind

    def _home(self, beginning: Beginning | None, *, at_home: bool) -> BoxId | None:
        """Return the box that a message can be had from alone: it has it first."""
        if beginning is not None and beginning.said_in is None:
            return beginning.box
        return self._ledger.box if beginning is None and at_home else None

    def _first(self, utterance: Utterance, amends: MessageId | None, home: BoxId | None) -> BoxId | None:
        """Return who comes before all hashing: who said what this corrects, or its first parts, or has it first."""
        if amends is not None and (speaker := self._emissions.speaker(amends, utterance.where)) is not None:
            return speaker
        return self._emissions.speaker(message_id(utterance.native_id), utterance.where) or home

    async def _write(self, entry: Entry) -> None:
        await self._ledger.write(name_of(entry, self._ledger.box), body_of(entry))
