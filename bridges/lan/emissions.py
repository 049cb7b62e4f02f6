# SPDX-License-Identifier: GPL-3.0-or-later
"""What boxes said where in others' words, as the log has it: entries, and an index of them. Pure."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridges.lan.event import MOST_NATIVE_BYTES, BoxId
from bridges.lan.turns import Emission
from gateway.model import MessageId, NativeId, Utterance, message_id, short_hash

MOST_KEPT = 20_000
"""Messages, each in one conversation, whose emissions are known; past it the oldest is forgotten: its echo is news."""
MOST_WORDS = 100_000
"""Of boxes, about all of these: past it the oldest messages are forgotten, too."""
MOST_WORDS_OF_ONE = 1024
"""About one message in one conversation; what comes beyond is not noted."""
MOST_PARTS = 4096

_BEGUN, _DONE = "emitting", "emitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One box's word that it says something, or has."""

    utterance: Utterance
    is_done: bool
    as_native: NativeId | None


def name_of(entry: Entry, box: BoxId) -> str:
    """Return the native id of the event that carries it: the same word of the same box is logged once."""
    said = entry.utterance
    word = _DONE if entry.is_done else _BEGUN
    parts = (said.native_id, said.where, str(said.part), str(said.parts), entry.as_native or "", box)
    return f"{word}:{short_hash(word, *parts)}"


def body_of(entry: Entry) -> str:
    """Return the body of that event."""
    said = entry.utterance
    fields: dict[str, str | int] = {
        "kind": _DONE if entry.is_done else _BEGUN,
        "of": said.native_id,
        "where": said.where,
        "part": said.part,
        "parts": said.parts,
    }
    if entry.as_native is not None:
        fields["as"] = entry.as_native
    return json.dumps(fields, separators=(",", ":"))


def entry_of(body: str) -> Entry | None:
    """Read what `body_of` wrote; None for what says no such thing, or nothing that can be read."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, Mapping) or said.get("kind") not in (_BEGUN, _DONE):
        return None
    names = [said.get(key) for key in ("of", "where")]
    part, parts, as_native = said.get("part"), said.get("parts"), said.get("as")
    if not all(_is_name(each) for each in names) or not (as_native is None or _is_name(as_native)):
        return None
    if type(part) is not int or type(parts) is not int or not 1 <= part <= parts <= MOST_PARTS:
        return None
    of, where = map(str, names)
    return Entry(
        utterance=Utterance(native_id=NativeId(of), where=where, part=part, parts=parts),
        is_done=said["kind"] == _DONE,
        as_native=None if as_native is None else NativeId(as_native),
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.encode("utf-8", "replace")) <= MOST_NATIVE_BYTES


@dataclass(frozen=True, slots=True)
class _Part:
    part: int
    parts: int
    box: BoxId


class Emissions:
    """What is known of them. Bounded."""

    def __init__(self, *, most: int = MOST_KEPT) -> None:
        self._most = most
        self._words = 0
        self._said: OrderedDict[tuple[MessageId, str], dict[_Part, Emission]] = OrderedDict()
        self._echoes: OrderedDict[NativeId, Utterance] = OrderedDict()
        self._places: dict[MessageId, set[str]] = {}
        self._open: dict[str, dict[tuple[MessageId, _Part], float]] = {}

    def learn(self, box: BoxId, entry: Entry, now_s: float) -> None:
        """Take a box's word. The same again changes nothing; in whatever order they come."""
        said = entry.utterance
        key, part = (message_id(said.native_id), said.where), _Part(said.part, said.parts, box)
        parts = self._said.setdefault(key, {})
        before = parts.get(part)
        if before is None and len(parts) >= MOST_WORDS_OF_ONE:
            return
        self._words += before is None
        is_done = entry.is_done or (before is not None and before.is_done)
        as_native = entry.as_native or (None if before is None else before.as_native)
        since_s = now_s if before is None else before.since_s
        parts[part] = Emission(since_s=since_s, is_done=is_done, as_native=as_native)
        self._places.setdefault(key[0], set()).add(said.where)
        if entry.as_native is not None and entry.as_native != said.native_id:
            self._echoes[entry.as_native] = said
            if len(self._echoes) > MOST_WORDS:
                self._echoes.popitem(last=False)
        self._note_open(said.where, (key[0], part), parts[part])
        while len(self._said) > self._most or self._words > MOST_WORDS:
            self._forget_oldest()

    def of(self, utterance: Utterance) -> dict[BoxId, Emission]:
        """Return what each box said of it there. One that split it otherwise has the whole of it in hand."""
        found: dict[BoxId, Emission] = {}
        for part, told in self._said.get((message_id(utterance.native_id), utterance.where), {}).items():
            is_this = (part.part, part.parts) == (utterance.part, utterance.parts)
            if is_this or (part.parts != utterance.parts and part.box not in found):
                found[part.box] = told
        return found

    def speaker(self, message: MessageId, where: str) -> BoxId | None:
        """Return which box said a message there, the first part if several did; None if none has."""
        done = [part for part, told in self._said.get((message, where), {}).items() if told.is_done]
        return min(done, key=lambda part: (part.part, part.box)).box if done else None

    def echoed(self, as_native: NativeId) -> Utterance | None:
        """Return what was said under this id."""
        return self._echoes.get(as_native)

    def tellers(self, as_native: NativeId) -> Sequence[BoxId]:
        """Return which boxes told that it was said under this id."""
        if (said := self._echoes.get(as_native)) is None:
            return ()
        told = self._said.get((message_id(said.native_id), said.where), {})
        return [part.box for part, each in told.items() if each.as_native == as_native]

    def called(self, native_id: NativeId) -> Sequence[NativeId]:
        """Return under which ids a message was said, anywhere."""
        ident = message_id(native_id)
        told = (each for where in self._places.get(ident, ()) for each in self._said[ident, where].values())
        return sorted({each.as_native for each in told if each.as_native is not None} - {native_id})

    def begun(self, where: str, *, me: BoxId, after_s: float) -> bool:
        """Whether another box began since then what it has no id for yet."""
        begun = self._open.get(where, {})
        return any(part.box != me and since_s >= after_s for (_, part), since_s in begun.items())

    def _note_open(self, where: str, what: tuple[MessageId, _Part], told: Emission) -> None:
        begun = self._open.setdefault(where, {})
        if told.is_done or told.as_native is not None:
            begun.pop(what, None)
        else:
            begun[what] = told.since_s
        if not begun:
            del self._open[where]

    def _forget_oldest(self) -> None:
        (ident, where), parts = self._said.popitem(last=False)
        self._words -= len(parts)
        for part, told in parts.items():
            self._note_open(where, (ident, part), Emission(since_s=0.0, is_done=True))
            if told.as_native is not None:
                self._echoes.pop(told.as_native, None)
        self._places[ident].discard(where)
        if not self._places[ident]:
            del self._places[ident]
