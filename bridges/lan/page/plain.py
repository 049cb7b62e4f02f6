# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes text that strangers wrote safe to show: nothing hidden, nothing reordered. Pure."""

from __future__ import annotations

import unicodedata

MOST_CHARACTERS = 8_000
"""Of one text: more than any network of ours carries."""

_KEPT = frozenset("\n\t\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")  # emoji and several scripts need the last two
_TAG = range(0xE0020, 0xE0080)  # of the flags of England, Scotland, Wales
_BREAKS = str.maketrans({"\r": "\n", "\N{LINE SEPARATOR}": "\n", "\N{PARAGRAPH SEPARATOR}": "\n"})


def plain(text: str) -> str:
    """Return the text without what controls or turns its direction, and no longer than it may be."""
    broken = text[:MOST_CHARACTERS].replace("\r\n", "\n").translate(_BREAKS)
    return "".join(char for char in broken if char in _KEPT or not _hides(char))


def one_line(text: str, most: int = 80) -> str:
    """Return the beginning of a text, as one line."""
    line = " ".join(plain(text).split())
    return line if len(line) <= most else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _hides(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn"} and ord(char) not in _TAG
