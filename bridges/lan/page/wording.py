# SPDX-License-Identifier: GPL-3.0-or-later
"""What the box says, in the reader's language as far as the catalogues have it, and for people. Pure."""

from __future__ import annotations

from markupsafe import Markup, escape

from bridges.lan.page.languages import DEFAULT, catalogue
from bridges.lan.page.plain import plain

FOR_PEOPLE = {
    "cancelled": "not sent",
    "folded": "in a digest",
    "the sender may read but not transmit on radio": (
        "people at a page are heard on radio if the operator lets them; /radio asks"
    ),
}
"""What the core says, in words for whoever reads it at a page. The catalogues have these."""
IN_SHORT = {"the sender may read but not transmit on radio": "/radio asks the operator for it"}
"""The same at each line."""


def for_people(text: str) -> str:
    """Return what the core says as it is said at a page, also behind "radio/LongFast: ". Still English."""
    where, colon, what = text.partition(": ")
    return FOR_PEOPLE.get(text) or (f"{where}: {FOR_PEOPLE[what]}" if colon and what in FOR_PEOPLE else text)


def standing(language: str, text: str) -> Markup:
    """Return what became of a line at each address it was for: "radio/LongFast: waiting, the channel is busy; ..."."""
    return Markup("; ").join(_leg(language, leg) for leg in text.split("; "))


def _leg(language: str, leg: str) -> Markup:
    where, colon, what = leg.partition(": ")
    if not colon:
        return _part(language, leg)
    state, comma, reason = what.partition(", ")
    there = escape(plain(catalogue(language).gettext(where) if where else ""))
    because = _part(language, IN_SHORT.get(reason, reason)) if comma else ""
    return there + colon + _part(language, state) + comma + because


def _part(language: str, text: str) -> Markup:
    english = for_people(text)
    known = catalogue(language).gettext(english)
    is_read = language == DEFAULT or known != english
    return escape(plain(known)) if is_read else Markup('<span lang="en">{}</span>').format(plain(english))
