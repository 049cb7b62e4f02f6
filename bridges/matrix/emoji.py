# SPDX-License-Identifier: GPL-3.0-or-later
"""One spelling for one emoji: rooms count reactions by their characters. Pure."""

from __future__ import annotations

_SELECTOR = "\ufe0f"
_RANGES = """a9 ae 203c 2049 2122 2139 2194-2199 21a9-21aa 2328 23cf 23ed-23ef 23f1-23f2 23f8-23fa 24c2 25aa-25ab
25b6 25c0 25fb-25fc 2600-2604 260e 2611 2618 261d 2620 2622-2623 2626 262a 262e-262f 2638-263a 2640 2642 265f-2660
2663 2665-2666 2668 267b 267e 2692 2694-2697 2699 269b-269c 26a0 26a7 26b0-26b1 26c8 26cf 26d1 26d3 26e9 26f0-26f1
26f4 26f7-26f9 2702 2708-2709 270c-270d 270f 2712 2714 2716 271d 2721 2733-2734 2744 2747 2763-2764 27a1 2934-2935
2b05-2b07 3030 303d 3297 3299"""


def _characters(ranges: str) -> frozenset[str]:
    ends = ((part.partition("-")[0], part.rpartition("-")[2]) for part in ranges.split())
    return frozenset(chr(code) for first, last in ends for code in range(int(first, 16), int(last, 16) + 1))


_TEXT_BY_DEFAULT = _characters(_RANGES)
"""Shown as text unless U+FE0F follows (Unicode emoji-data, Emoji without Emoji_Presentation, the plane people use)."""


def as_key(emoji: str) -> str:
    """Return the emoji as a reaction's key: with U+FE0F where it takes that to be one, as clients write it."""
    return emoji + _SELECTOR if emoji in _TEXT_BY_DEFAULT else emoji
