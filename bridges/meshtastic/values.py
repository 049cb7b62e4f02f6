# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of a radio's table, read and checked: each raises ConfigError with the key and the mend. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridges.meshtastic.choices import Positions, Question
from bridges.meshtastic.shorten import Shorten
from gateway.model import ConfigError, units

LEAST_SHARE_PERCENT = 0.1
MOST_SHARE_PERCENT = 100.0


def positions(value: object) -> Positions:
    """Return what is done with positions."""
    try:
        return Positions(value if isinstance(value, str) else "")
    except ValueError:
        mend = 'positions = "off"  # off | request | keep | on'
        raise ConfigError(f"{value!r} is not what can be done with positions", key="positions", mend=mend) from None


def answers(value: object) -> frozenset[Question]:
    """Return which questions are answered."""
    known = [each.value for each in Question]
    if not isinstance(value, list) or not all(each in known for each in value):
        raise ConfigError(
            f"{value!r} is not a list of questions to answer", key="answers", mend=f"list any of {', '.join(known)}"
        )
    return frozenset(map(Question, value))


def shorten(value: object) -> frozenset[Shorten]:
    """Return how texts are shortened."""
    known = ", ".join(Shorten)
    try:
        return frozenset(Shorten(str(each)) for each in (value if isinstance(value, list) else [value]))
    except ValueError:
        mend = f'shorten = ["spaces", "homoglyphs"]  # any of {known}'
        raise ConfigError(f"{value!r} is not how texts can be shortened", key="shorten", mend=mend) from None


def every(table: Mapping[str, Any], key: str, default: str) -> int:
    """Return a span that is written as ``10m``, in seconds."""
    value = table.get(key, default)
    try:
        return units.seconds(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ConfigError(str(error), key=key, mend=f'{key} = "{default}"') from error


def share(value: object) -> float | None:
    """Return a share of the time in percent; None where none is wanted."""
    if value is None:
        return None
    text = value.removesuffix("%").strip() if isinstance(value, str) else value
    try:
        percent = float(text) if isinstance(text, str | int | float) and not isinstance(text, bool) else -1.0
    except ValueError:
        percent = -1.0
    if not LEAST_SHARE_PERCENT <= percent <= MOST_SHARE_PERCENT:
        mend = 'airtime_share = "5%"  # of every hour, from 0.1 to 100'
        raise ConfigError(f"{value!r} is no share of the time", key="airtime_share", mend=mend)
    return percent


def text(table: Mapping[str, Any], key: str) -> str:
    """Return a text."""
    value = table.get(key, "")
    if not isinstance(value, str):
        raise ConfigError(f"{key} must be text", key=key, mend=f'write {key} = "..."')
    return value


def flag(table: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """Return true or false."""
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{key} must be true or false", key=key, mend=f"write {key} = true or {key} = false")
    return value


def whole(table: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`."""
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{key} is out of range", key=key, mend=f"a whole number from {low} to {high}")
    return value


def seconds(table: Mapping[str, Any], key: str, default: float, low: float, high: float) -> float:
    """Return a number of seconds from `low` to `high`."""
    value = table.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{key} is out of range", key=key, mend=f"seconds from {low} to {high}")
    return float(value)
