# SPDX-License-Identifier: GPL-3.0-or-later
"""Says the same in fewer bytes, where the operator wants that. Pure; the choices add up.

Each letter is folded that looks the same, not only in words made of such letters alone: of a Russian text that
saves a fifth, instead of next to nothing, and nobody sees a difference. The price: on the radio side such a
word isn't found by searching for it, and is read out wrongly. What other networks show stays as it was written.

A command, and whatever means more than its look (a word with a digit, a link, a domain, a mention, a node), stays
as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from functools import cache, partial


class Shorten(StrEnum):
    """What may be done to a text."""

    SPACES = "spaces"
    """Runs of white space become one, empty lines go, and so do characters without width or ink."""
    TYPOGRAPHY = "typography"
    """Quotes, dashes, ellipses and bullets become those of ASCII."""
    HOMOGLYPHS = "homoglyphs"
    """Cyrillic and Greek letters that look like Latin ones become those: one byte instead of two."""


_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2039\u203a", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        "\u2026": "...",
        "\u2022": "*",
    }
)
# Lower-case letters that only resemble Latin capitals (Cyrillic ve, ka, em, en, te) would show. Fewer than those
# by which `gateway.model.likeness` compares names: that is never shown, and these are read in a letter's place.
_CYRILLIC = (
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0405\u0406\u0408"
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0455\u0456\u0458"
)
_GREEK = "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf"
_HOMOGLYPHS = str.maketrans(_CYRILLIC + _GREEK, "ABEKMHOPCTXSIJ" + "aeopcyxsij" + "ABEZHIKMNOPTYXo")

_INKLESS = re.compile("[\u00ad\u200b\u2060\ufeff]")
_SPACES = re.compile(r"[^\S\n]+")
_LINE_ENDS = re.compile(r" ?\n\s*")
_TOKEN = re.compile(r"\S+")
_MEANT = re.compile(r"\d|[@#\\/]|[^\W_][.:][^\W_]|[!~][^\W_]|_")
"""In a word: digits, mentions, rooms and paths, domains and URIs, nodes, and names that machines read."""
_COMMAND = re.compile(r"\s*[!/]")


@cache
def shorter(wanted: frozenset[Shorten]) -> Callable[[str], str]:
    """Return what shortens a text in these ways, the same each time. Doing it twice changes nothing more."""
    return partial(_shorten, wanted)


def _shorten(wanted: frozenset[Shorten], text: str) -> str:
    if not wanted or _COMMAND.match(text):
        return text
    if Shorten.SPACES in wanted:
        text = _LINE_ENDS.sub("\n", _SPACES.sub(" ", _INKLESS.sub("", text))).strip()
    return _TOKEN.sub(partial(_word, wanted), text)


def _word(wanted: frozenset[Shorten], found: re.Match[str]) -> str:
    word = found[0]
    if _MEANT.search(word):
        return word
    if Shorten.TYPOGRAPHY in wanted:
        word = word.translate(_TYPOGRAPHY)
    return word.translate(_HOMOGLYPHS) if Shorten.HOMOGLYPHS in wanted else word
