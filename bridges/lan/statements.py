# SPDX-License-Identifier: GPL-3.0-or-later
"""What boxes tell each other in the log besides messages, as JSON. Pure."""

from __future__ import annotations

import json
from typing import Any

from bridges.lan.event import BoxId, Event, FeedId, is_feed
from bridges.lan.membership import Add, Remove, Statement
from gateway.model import plain_name

MOST_NAME_CHARACTERS = 64
KEY_BYTES = 32
MOST_LIMITS = 450
"""So many feeds of a box that is put out are named: as many as one event holds, whatever they count."""
_MOST_COUNT = 2**53


def body_of(says: Add | Remove) -> str:
    """Return the body of the event that says it."""
    if isinstance(says, Add):
        said: dict[str, Any] = {"kind": "add", "key": says.key.hex(), "name": says.name}
    else:
        starts = {feed.partition("-")[2]: count for feed, count in says.frontier.items()}
        said = {"kind": "remove", "box": says.box, "frontier": starts}
    return json.dumps(said, separators=(",", ":"))


def statement_of(event: Event) -> Statement | None:
    """Return what an event says of membership; None if it says nothing of it, or nothing that can be read."""
    if event.native:
        return None
    try:
        said = json.loads(event.body)
        says = _says(said) if isinstance(said, dict) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return None if says is None else Statement(feed=event.feed, seq=event.seq, hlc=event.hlc, says=says)


def _says(said: dict[str, Any]) -> Add | Remove | None:
    match said.get("kind"):
        case "add":
            key, name = bytes.fromhex(said["key"]), plain_name(str(said["name"]), MOST_NAME_CHARACTERS)
            return Add(key=key, name=name) if len(key) == KEY_BYTES else None
        case "remove":
            frontier = said["frontier"]
            if not isinstance(said["box"], str) or not isinstance(frontier, dict):
                return None
            box = BoxId(said["box"])
            named = {f"{box}-{start}": count for start, count in frontier.items()}
            return Remove(box=box, frontier={FeedId(f): n for f, n in named.items() if is_feed(f) and _is_count(n)})
        case _:
            return None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_COUNT
