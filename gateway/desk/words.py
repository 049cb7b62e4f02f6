# SPDX-License-Identifier: GPL-3.0-or-later
"""How a command is read and an answer is written. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from gateway.ages import in_words
from gateway.model import Declined
from gateway.model.units import seconds
from gateway.wording import shown

MOST_WORDS: Final = 64
"""Words of one command that are looked at."""
MOST_REASON: Final = 200
"""Characters of why something was decided."""
MOST_LINES: Final = 30
MOST_BYTES: Final = 4000
MOST_LINE: Final = 400
"""Of one answer: lines and bytes, and characters of a line."""
_NEAR: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command's name, in lower case, and what stands after it."""

    name: str
    rest: tuple[str, ...] = ()


def parse(words: str) -> Request:
    """Read a command. Nothing at all asks for help; what is no text at all is a question mark."""
    words = words.encode("utf-8", "replace").decode()
    name, *rest = words.split(maxsplit=MOST_WORDS)[:MOST_WORDS] or ["help"]
    return Request(name=name.casefold(), rest=tuple(rest))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return what may have been meant; empty: nobody knows."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=_NEAR)), "")


def with_duration(rest: Sequence[str]) -> tuple[tuple[str, ...], int | None]:
    """Take ``for 1h`` off the end; None: there is none. Declined if that isn't a duration."""
    if len(rest) < 2 or rest[-2].casefold() != "for":  # noqa: PLR2004 - two words
        return tuple(rest), None
    try:
        return tuple(rest[:-2]), seconds(rest[-1])
    except ValueError as error:
        raise Declined(str(error)) from error


def with_reason(rest: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Take ``because WORDS`` off the end; empty: there is none."""
    at = next((n for n, word in enumerate(rest) if word.casefold() == "because"), None)
    return (tuple(rest), "") if at is None else (tuple(rest[:at]), shown(" ".join(rest[at + 1 :]), MOST_REASON))


def ago(at_ms: int | None, now_ms: int) -> str:
    """Write how long ago that was."""
    return "never" if at_ms is None else f"{in_words((now_ms - at_ms) / 1000)} ago"


def answer(lines: Sequence[str], *, left_out: int = 0) -> str:
    """Write lines one below the other, as many as an answer may have, and how many more there are.

    `left_out`: how many were not even looked at.
    """
    said: list[str] = []
    room = MOST_BYTES
    for line in lines[:MOST_LINES]:
        written = shown(line, MOST_LINE)
        room -= len(written.encode()) + 1
        if room < 0:
            break
        said.append(written)
    more = len(lines) - len(said) + left_out
    return "\n".join([*said, *([f"… and {more:,} more"] if more else [])])
