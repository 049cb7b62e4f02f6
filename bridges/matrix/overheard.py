# SPDX-License-Identifier: GPL-3.0-or-later
"""What another gateway said in a room: none of it is for others, but boxes that are cut off meet there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bridges.matrix.content import SAID_KEY
from bridges.matrix.convert import ID_KEY, PROFILE_KEY
from bridges.matrix.plain import clean, one_line, valid_id
from bridges.matrix.wire import mapping, text
from gateway.model import Overheard, RemoteId

_KINDS = (" (mesh)", " (LAN)")
"""What ghosts' names end in."""


def overheard_in(
    event: object, name_of: Callable[[str], str], is_ours: Callable[[str], bool] = lambda _: False
) -> Overheard | None:
    """Return what an event says of itself; None if it is no gateway's, or taken back.

    `is_ours`: whether a user speaks for this box.
    """
    seen = mapping(event)
    content = mapping(seen.get("content"))
    key, event_id, sender = text(content.get(ID_KEY)), valid_id(seen.get("event_id"), "$"), text(seen.get("sender"))
    if not key or event_id is None:
        return None
    is_text = content.get("msgtype") == "m.text" and "m.new_content" not in content
    profile = mapping(content.get(PROFILE_KEY))
    name = one_line(text(profile.get("displayname"))) or _bare(name_of(sender))
    body = clean(text(content.get("body")))
    if profile.get("has_fallback") is True:
        body = body.removeprefix(f"{name}: ")
    if SAID_KEY in content and body.startswith("["):
        body = body.partition("] ")[2]
    return Overheard(
        key=key,
        by=sender,
        remote_id=RemoteId(event_id),
        words=f"{name}: {body}" if is_text else "",
        at_ms=at_ms if isinstance(at_ms := seen.get("origin_server_ts"), int) else 0,
        is_ours=is_ours(sender),
        age_s=_age_s(seen, content),
    )


def _age_s(seen: Mapping[str, Any], content: Mapping[str, Any]) -> float:
    age_ms = mapping(seen.get("unsigned")).get("age")
    # What came late may show the time it was said instead of its arrival's.
    return 0.0 if SAID_KEY in content or not isinstance(age_ms, int) else max(age_ms, 0) / 1000


def _bare(name: str) -> str:
    for kind in _KINDS:
        name = name.removesuffix(kind)
    return name
