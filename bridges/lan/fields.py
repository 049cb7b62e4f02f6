# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of what another box wrote, read strictly. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

MOST_ID_BYTES = 512
MOST_WORDS_BYTES = 16 * 1024

_Value = TypeVar("_Value")
_Choice = TypeVar("_Choice", bound=StrEnum)


class Unreadable(ValueError):
    """This is no entry, and why, in words without any of it."""


def words(raw: Mapping[str, Any], key: str, *, most: int = MOST_WORDS_BYTES, default: str | None = None) -> str:
    """Return a text of at most so many bytes."""
    value = raw.get(key, default)
    if not isinstance(value, str) or _bytes(value) > most:
        raise Unreadable(f"{key} is no text, or too long")
    return value


def identity(raw: Mapping[str, Any], key: str) -> str:
    """Return an id, or a room's name: printable, and not empty."""
    value = words(raw, key, most=MOST_ID_BYTES)
    if not value or not value.isprintable():
        raise Unreadable(f"{key} is no name")
    return value


def number(raw: Mapping[str, Any], key: str, *, least: float, most: float) -> float:
    """Return a number within bounds."""
    value = raw.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Unreadable(f"{key} is no number")
    if not least <= value <= most:  # not a number isn't, either
        raise Unreadable(f"{key} is out of bounds")
    return value


def choice(raw: Mapping[str, Any], key: str, default: _Choice) -> _Choice:
    """Return one of the words of an enumeration; `default` where there is none, or one that isn't known here."""
    value = raw.get(key)
    return next((one for one in type(default) if one == value), default)


def optional(raw: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any], str], _Value]) -> _Value | None:
    """Return a field that may be missing."""
    return read(raw, key) if raw.get(key) is not None else None


def _bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:  # half a surrogate pair, which JSON can spell
        raise Unreadable("it holds half a character") from error
