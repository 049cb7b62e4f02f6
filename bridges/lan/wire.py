# SPDX-License-Identifier: GPL-3.0-or-later
"""What two boxes say to each other in one exchange, as JSON: the same shape each way. Pure.

Whoever is equal says so by two digests, and nothing more. Sizes are bounded on both sides of the reading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bridges.lan.batch import MOST_FEEDS
from bridges.lan.event import MOST_NUMBER, Event, FeedId, Malformed, from_wire, is_feed, to_wire
from bridges.lan.presence import MOST_ADDRESSES, MOST_SERVED, MOST_SERVED_BYTES, MOST_TOLD, Detail, Told
from bridges.lan.statements import MOST_NAME_CHARACTERS

VERSION = 1
MOST_BYTES = 1024 * 1024
"""Of one body, both ways."""
MOST_EVENTS = 500
EVENT_BYTES = 160 * 1024
"""So many bytes of events go into one body, and of statements as many; the frontiers of 4,096 feeds, with the longest
counts there are, and who is there take the rest."""
MOST_YOURS = 64
"""Of so many feeds of whom it speaks to a box says how they end: the present one, and some others."""
MOST_ADDRESS_CHARACTERS = 128
_HEX = re.compile(r"[0-9a-f]{32}\Z")
_YOURS = len(("count", "head"))
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The last event of a feed: its number, and its hash."""

    count: int
    head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one box has, and what of it the other lacks."""

    feed: FeedId
    """Who speaks: its feed of this start."""
    port: int = 0
    """Where it listens itself; 0: nowhere."""
    have: str
    """Digest of its frontier."""
    believe: str
    """Digest of its statements."""
    frontier: Mapping[FeedId, int] | None = None
    """None: not said, for it is known, or not worth it."""
    bases: Mapping[FeedId, int] | None = None
    events: Sequence[Event] = ()
    statements: Sequence[Event] = ()
    told: Sequence[Told] = ()
    yours: Mapping[FeedId, Ending] = field(default_factory=dict)
    """How feeds of whom it speaks to end here: where they don't, there, that box was put back while it ran."""


def body_of(offer: Offer) -> bytes:
    """Return its JSON; `read` reads it."""
    said: dict[str, Any] = {
        "v": VERSION,
        "feed": offer.feed,
        "port": offer.port,
        "have": offer.have,
        "believe": offer.believe,
        "told": [_told(each) for each in offer.told],
    }
    if offer.frontier is not None:
        said["frontier"], said["bases"] = dict(offer.frontier), dict(offer.bases or {})
    for name, events in (("events", offer.events), ("statements", offer.statements)):
        if events:
            said[name] = [to_wire(event) for event in events]
    if offer.yours:
        said["yours"] = {feed: [ending.count, ending.head.hex()] for feed, ending in offer.yours.items()}
    return _dump(said).encode()


def read(body: bytes) -> Offer:
    """Read an offer; Malformed says what is wrong with it. No signature is looked at."""
    if len(body) > MOST_BYTES:
        raise Malformed("too large")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    if not isinstance(said, dict) or said.get("v") != VERSION:
        raise Malformed("not an offer of this version")
    if not is_feed(said.get("feed")) or not _is_number(said.get("port"), 65535):
        raise Malformed("it doesn't say whose it is")
    is_whole = "frontier" in said
    return Offer(
        feed=FeedId(said["feed"]),
        port=said["port"],
        have=_digest(said.get("have")),
        believe=_digest(said.get("believe")),
        frontier=_counts(said["frontier"]) if is_whole else None,
        bases=_counts(said.get("bases")) if is_whole else None,
        events=_list(said.get("events", []), MOST_EVENTS, from_wire),
        statements=_list(said.get("statements", []), MOST_EVENTS, from_wire),
        told=_list(said.get("told", []), MOST_TOLD, _read_told),
        yours=_yours(said.get("yours", {})),
    )


def fitting(events: Iterable[Event]) -> list[Event]:
    """Return as many of the first of these as go into one body; one at least, if there is one."""
    found: list[Event] = []
    room = EVENT_BYTES
    for event in events:
        room -= len(_dump(to_wire(event)).encode()) + 1
        if (room < 0 and found) or len(found) >= MOST_EVENTS:
            break
        found.append(event)
    return found


def _dump(said: Any) -> str:
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False)


def _told(told: Told) -> list[Any]:
    said: list[Any] = [told.feed, told.beat, told.since, told.age_ms]
    if (detail := told.detail) is not None:
        said.append([detail.name, sorted(detail.serving), list(detail.addresses)])
    return said


def _read_told(said: object) -> Told:
    if not isinstance(said, list) or len(said) not in {4, 5} or not is_feed(said[0]):
        raise Malformed("not a presence")
    if not all(_is_number(each) for each in said[1:4]):
        raise Malformed("not a number")
    detail = _detail(said[4]) if said[4:] else None
    return Told(feed=FeedId(said[0]), beat=said[1], since=said[2], age_ms=said[3], detail=detail)


def _detail(said: object) -> Detail:
    if not isinstance(said, list) or len(said) != len(("name", "serving", "addresses")):
        raise Malformed("not a presence")
    name, serving, addresses = said
    return Detail(
        name=_text(name, MOST_NAME_CHARACTERS),
        serving=frozenset(_list(serving, MOST_SERVED, lambda each: _text(each, MOST_SERVED_BYTES))),
        addresses=tuple(_list(addresses, MOST_ADDRESSES, lambda each: _text(each, MOST_ADDRESS_CHARACTERS))),
    )


def _text(said: object, most: int) -> str:
    if not isinstance(said, str) or len(said) > most or not said.isprintable():
        raise Malformed("not a name")
    return said


def _digest(said: object) -> str:
    if not isinstance(said, str) or not _HEX.match(said):
        raise Malformed("not a digest")
    return said


def _counts(said: object) -> dict[FeedId, int]:
    if not isinstance(said, dict) or len(said) > MOST_FEEDS:
        raise Malformed("not a frontier")
    if not all(is_feed(feed) and _is_number(count) for feed, count in said.items()):
        raise Malformed("not a frontier")
    return said


def _yours(said: object) -> dict[FeedId, Ending]:
    if not isinstance(said, dict) or len(said) > MOST_YOURS or not all(map(is_feed, said)):
        raise Malformed("not how feeds end")
    return {feed: _ending(each) for feed, each in said.items()}


def _ending(said: object) -> Ending:
    if not isinstance(said, list) or len(said) != _YOURS or not _is_number(said[0]):
        raise Malformed("not how a feed ends")
    return Ending(count=said[0], head=bytes.fromhex(_digest(said[1])))


def _list(said: object, most: int, read_one: Callable[[Any], T]) -> list[T]:
    if not isinstance(said, list) or len(said) > most:
        raise Malformed("not a list, or too long")
    return [read_one(each) for each in said]


def _is_number(said: object, most: int = MOST_NUMBER) -> bool:
    return isinstance(said, int) and not isinstance(said, bool) and 0 <= said <= most
