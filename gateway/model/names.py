# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that strangers give themselves: made harmless to read, and compared as people see them. Pure."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

MOST_NAME_CHARACTERS: Final = 40
"""A radio's long name has 39 bytes; a name is cut there."""
MOST_MARKS: Final = 3
"""Accents on one letter: Vietnamese has two; more pile up over the lines above."""

MOST_LIKENESSES: Final = 16_384
"""Names whose likeness is remembered: everybody at a page is compared with everybody who joins."""

_JOINERS: Final = "\u200c\u200d"
_BLANKS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters by their category, nothing by their look."""
_INVISIBLE_MARKS: Final = frozenset(
    map(chr, (0x034F, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""Joiners and variation selectors: marks by their category, nothing by their look."""
# Cyrillic and Greek letters that most typefaces draw like a Latin one, after case folding; and what passes for i and o.
_LOOKS_LIKE: Final = {
    "a": "\u0430\u03b1",
    "b": "\u0432\u03b2",
    "c": "\u0441",
    "d": "\u0501",
    "e": "\u0435\u03b5",
    "h": "\u043d\u04bb",
    "i": "\u0456\u03b91l|",
    "j": "\u0458",
    "k": "\u043a\u03ba",
    "m": "\u043c",
    "n": "\u03b7",
    "o": "\u043e\u03bf0\u03c3",
    "p": "\u0440\u03c1",
    "q": "\u051b",
    "s": "\u0455",
    "t": "\u0442\u03c4",
    "u": "\u03c5",
    "v": "\u03bd\u0475",
    "w": "\u051d\u03c9",
    "x": "\u0445\u03c7",
    "y": "\u0443\u03b3",
}
_LOOKS: Final = str.maketrans({alike: char for char, all_alike in _LOOKS_LIKE.items() for alike in all_alike})


def plain_name(name: str, most: int = MOST_NAME_CHARACTERS) -> str:
    """Return a name as one line that steers no terminal, hides nothing and turns no text around; empty if none is left.

    Joiners stay, which some scripts and many emoji need.
    """
    words = "".join(map(_plain, name[: 4 * most])).split()
    return _without_piles(" ".join(words))[:most].strip(" " + _JOINERS)


@lru_cache(maxsize=MOST_LIKENESSES)
def likeness(name: str) -> str:
    """Return what names have in common that people take for one another: compare it, never show it.

    For who may have a name. What bridges show in letters' place, or tell two apart by who have theirs, is their own.
    """
    folded = unicodedata.normalize("NFKC", name).casefold().translate(_LOOKS)
    return "".join(char for char in folded if char.isalnum() or unicodedata.category(char)[0] in "SM").translate(
        dict.fromkeys(map(ord, _INVISIBLE_MARKS))
    )


def _plain(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cc", "Zl", "Zp", "Zs") or char in _BLANKS:
        return " "
    return "" if category[0] == "C" and char not in _JOINERS else char


def _without_piles(name: str) -> str:
    kept: list[str] = []
    marks = 0
    for char in name:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if marks <= MOST_MARKS:
            kept.append(char)
    return "".join(kept)
