# SPDX-License-Identifier: GPL-3.0-or-later
"""What boxes decide together, as the log has it: entries, and the latest of each box about each person and room. Pure.

Each entry counts one up from the highest that its box knew about the same: so the later word stands whatever the
clocks of the boxes say, and of two that were said apart the same one stands everywhere. Words of a box that was put
out count no more, and what it overruled stands again.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from bridges.lan.event import BoxId, Event
from bridges.lan.fields import Unreadable, identity, number, words
from bridges.lan.hlc import ms_of
from bridges.lan.places import is_direct, nick_of
from gateway.model import Matter, SenderId, Verdict, plain_name

PREFIX = "verdict:"
"""Begins the native id of each."""
MOST_ABOUT = 4096
"""People and rooms; past it whatever was decided of the one that was longest ago is forgotten."""
MOST_WHY = 200
LONGEST_S = 10 * 365 * 86_400
SLOWEST_S = 86_400
_KIND = "verdict"
_MOST = 2**53

About = tuple[Matter, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One box's latest word about one person or room."""

    verdict: Verdict
    place: int
    """How many came before it about the same, as its box knew."""
    hlc: int

    @property
    def order(self) -> tuple[int, int]:
        """Sorts the latest last."""
        return (self.place, self.hlc)


def is_for_all(matter: Matter, about: str) -> bool:
    """Whether it is for boxes to decide together: somebody at any page, or a room."""
    return bool(about) and (nick_of(about) != "" if matter is Matter.MUTE else not is_direct(about))


def body_of(verdict: Verdict, place: int) -> str:
    """Return the body of the event that says it."""
    said = {
        "kind": _KIND,
        "matter": verdict.matter.value,
        "about": verdict.about,
        "by": verdict.by,
        "at_ms": verdict.at_ms,
        "place": place,
        **({"over": True} if verdict.over else {}),
        **({"ban": True} if verdict.ban else {}),
        **({} if verdict.for_s is None else {"for_s": verdict.for_s}),
        **({"every_s": verdict.every_s} if verdict.every_s else {}),
        **({"why": verdict.why[:MOST_WHY]} if verdict.why else {}),
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def entry_of(event: Event) -> Entry | None:
    """Read what `body_of` wrote; None for what says no such thing, or nothing that can be read."""
    if not event.native.startswith(PREFIX):
        return None
    try:
        raw = json.loads(event.body)
        return _read(raw, event) if isinstance(raw, dict) and raw.get("kind") == _KIND else None
    except (ValueError, RecursionError, Unreadable):
        return None


def _read(raw: Mapping[str, object], event: Event) -> Entry | None:
    matter, about = Matter(str(raw.get("matter"))), identity(raw, "about")
    if not is_for_all(matter, about):
        return None
    verdict = Verdict(
        matter=matter,
        about=about,
        by=SenderId(identity(raw, "by")),
        at_ms=round(number(raw, "at_ms", least=0, most=_MOST)),
        over=raw.get("over") is True,
        ban=raw.get("ban") is True,
        for_s=None if "for_s" not in raw else round(number(raw, "for_s", least=1, most=LONGEST_S)),
        every_s=0 if "every_s" not in raw else round(number(raw, "every_s", least=0, most=SLOWEST_S)),
        why=plain_name(words(raw, "why", default=""), MOST_WHY),
    )
    return Entry(verdict=verdict, place=round(number(raw, "place", least=1, most=_MOST)), hlc=event.hlc)


class Verdicts:
    """All that is known of them. Bounded."""

    def __init__(self, count: Callable[[str], None], *, most: int = MOST_ABOUT) -> None:
        self._count = count
        self._most = most
        self._latest: OrderedDict[About, dict[BoxId, Entry]] = OrderedDict()

    def learn(self, event: Event) -> bool:
        """Take an event; the same again changes nothing, in whatever order they come. False: it is none of ours."""
        entry = entry_of(event)
        if entry is None:
            return False
        about = (entry.verdict.matter, entry.verdict.about)
        boxes = self._latest.setdefault(about, {})
        before = boxes.get(event.box)
        if before is None or before.order <= entry.order:
            boxes[event.box] = entry
            self._latest.move_to_end(about)
        if len(self._latest) > self._most:
            self._latest.popitem(last=False)
            self._count("lan_verdicts_full")
        return True

    def of(self, about: About, counts: Callable[[BoxId], bool]) -> tuple[BoxId, Entry] | None:
        """Return the latest word of the boxes that count, and whose it is."""
        found = [(box, entry) for box, entry in self._latest.get(about, {}).items() if counts(box)]
        return max(found, key=lambda each: (*each[1].order, each[0])) if found else None

    def next_place(self, about: About) -> int:
        """Return what the next word about it counts as: more than any there is, those of boxes that were put out too.

        Where one counted up to the end the latest stamp decides.
        """
        return min(_MOST, 1 + max((entry.place for entry in self._latest.get(about, {}).values()), default=0))

    def all(self) -> Iterator[About]:
        """Yield of whom and what something was decided, who and what that was longest ago first."""
        yield from list(self._latest)


def told(found: tuple[BoxId, Entry], *, me: BoxId, named: Callable[[BoxId], str]) -> Verdict:
    """Return a verdict with whose it is."""
    box, entry = found
    return replace(entry.verdict, box=named(box), is_ours=box == me)


def is_fading(entry: Entry, now_ms: int, retention_s: float) -> bool:
    """Whether half of the time is over for which the log keeps it."""
    return now_ms - ms_of(entry.hlc) > retention_s * 500
