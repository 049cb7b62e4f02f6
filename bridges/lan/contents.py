# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message says, as fields of a log entry, and back. Targets are native ids. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from bridges.lan.fields import Unreadable, identity, number, optional, words
from gateway.model import Content, Edit, Location, Reaction, Redaction, RemoteId, Text

MOST_EMOJI_BYTES = 64
_MOST_METRES = 1e8


def fields_of(content: Content) -> dict[str, Any]:
    """Return the fields that `content_of` reads."""
    match content:
        case Text():
            more = {"emote": True} if content.emote else {}
            return {"text": content.body, **more, **({"link": content.link} if content.link else {})}
        case Reaction():
            return {"target": content.target, "emoji": content.emoji}
        case Edit():
            return {"target": content.target, "text": content.body}
        case Redaction():
            return {"target": content.target}
        case Location():
            return _place(content)
        case _:
            assert_never(content)


def content_of(kind: str, raw: Mapping[str, Any]) -> Content:
    """Return what an entry of this kind says; Unreadable."""
    match kind:
        case "text":
            link = words(raw, "link", default="")
            return Text(body=words(raw, "text"), emote=raw.get("emote") is True, link=link)
        case "reaction":
            return Reaction(target=_target(raw), emoji=_emoji(raw))
        case "edit":
            return Edit(target=_target(raw), body=words(raw, "text"))
        case "redaction":
            return Redaction(target=_target(raw))
        case _:
            return _location(raw)


def _target(raw: Mapping[str, Any]) -> RemoteId:
    return RemoteId(identity(raw, "target"))


def _emoji(raw: Mapping[str, Any]) -> str:
    emoji = words(raw, "emoji", most=MOST_EMOJI_BYTES)
    if not emoji.strip():
        raise Unreadable("it reacts with nothing")
    return emoji


def _place(place: Location) -> dict[str, Any]:
    fields = {
        "latitude": place.latitude,
        "longitude": place.longitude,
        "altitude_m": place.altitude_m,
        "accuracy_m": place.accuracy_m,
    }
    known: dict[str, Any] = {key: value for key, value in fields.items() if value is not None}
    return known | ({"text": place.words} if place.words else {})


def _location(raw: Mapping[str, Any]) -> Location:
    return Location(
        latitude=number(raw, "latitude", least=-90, most=90),
        longitude=number(raw, "longitude", least=-180, most=180),
        altitude_m=optional(raw, "altitude_m", _metres),
        accuracy_m=optional(raw, "accuracy_m", _extent),
        words=words(raw, "text", default=""),
    )


def _metres(raw: Mapping[str, Any], key: str) -> float:
    return number(raw, key, least=-_MOST_METRES, most=_MOST_METRES)


def _extent(raw: Mapping[str, Any], key: str) -> float:
    return number(raw, key, least=0, most=_MOST_METRES)
