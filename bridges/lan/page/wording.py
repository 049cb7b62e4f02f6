# SPDX-License-Identifier: GPL-3.0-or-later
"""What the box says, in the reader's language as far as the catalogues have it, and for people. Pure."""

from __future__ import annotations

from markupsafe import Markup, escape

from bridges.lan.page.languages import catalogue
from bridges.lan.page.plain import plain
from bridges.lan.page.reasons import Stand, stands
from gateway.model import Phrase, phrase

FOR_PEOPLE = {
    "cancelled": "not sent",
    "folded": "in a digest",
    "the sender may read but not transmit on radio": (
        "people at a page are heard on radio if the operator lets them; /radio asks"
    ),
}
"""What the core says, in words for whoever reads it at a page. The catalogues have these."""


def to_the_sender(reason: str) -> str:
    """Return why somebody may say nothing as it is said to themselves."""
    if not isinstance(reason, Phrase):
        return reason
    match reason.original:
        case "the sender is muted":
            return phrase("you are muted: nothing that you write is passed on")
        case "the sender is muted, for another %(time)s":
            time = reason.fields["time"]
            return phrase("you are muted for another %(time)s: nothing that you write is passed on", time=time)
        case "the sender is banned":
            return phrase("you are banned: nothing that you write is passed on")
    return reason


def for_people(text: str) -> str:
    """Return what the core says as it is said at a page, also behind "radio/LongFast: ". Still English."""
    where, colon, what = text.partition(": ")
    return FOR_PEOPLE.get(text) or (f"{where}: {FOR_PEOPLE[what]}" if colon and what in FOR_PEOPLE else text)


def standing(language: str, text: str) -> Markup:
    """Return what became of a line at each address it was for: "radio/LongFast: waiting, the channel is busy; ..."."""
    return Markup("; ").join(_stand(language, one) for one in stands(text))


def _stand(language: str, one: Stand) -> Markup:
    words = catalogue(language)
    said = f"{words.gettext(one.where)}: {words.gettext(for_people(one.state))}"
    return escape(plain(f"{said}, {words.gettext(one.reason)}" if one.reason else said))
