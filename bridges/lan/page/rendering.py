# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the page's HTML: templates with everything escaped, in the reader's language."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from bridges.lan.hall import Cost, Line
from bridges.lan.page.assets import assets, packed
from bridges.lan.page.languages import LANGUAGES, catalogue
from bridges.lan.page.placing import at_box, by, clock, day, hue, iso, toward
from bridges.lan.page.plain import one_line, plain
from bridges.lan.page.reasons import Kind, kind_of
from bridges.lan.page.wording import for_people, standing
from gateway.model import Phrase, State

_HTML = "text/html; charset=utf-8"
_PACK_FROM_BYTES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """What a line answers."""

    name: str
    text: str


def environment() -> Environment:
    """Return the templates, not yet in any language."""
    made = Environment(
        loader=PackageLoader("bridges.lan.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.filters.update(plain=plain, one_line=one_line, clock=clock, iso=iso, day=day, by=by, hue=hue, at_box=at_box)
    made.filters["toward"] = toward
    made.globals.update(languages=LANGUAGES, assets={name: asset.path for name, asset in assets().items()})
    return made


@cache
def _in(language: str) -> Environment:
    made, words = environment(), catalogue(language)
    made.install_gettext_callables(words.gettext, words.ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.filters["told"] = lambda text: told(language, text)
    made.filters["not_reached"] = lambda reason: not_reached(language, reason)
    made.filters["whispered"] = lambda count: whispered(language, count)
    made.filters["standing"] = lambda text: standing(language, text)
    return made


def html(language: str, template: str, **context: Any) -> str:
    """Return a template's HTML."""
    return _in(language).get_template(template).render(language=language, **context)


def told(language: str, text: str) -> Markup:
    """Return what the box says: in the reader's language where the catalogue has it, else marked as English.

    What is built from parts ("radio: waiting, the channel is busy") is looked up whole, then by its parts.
    """
    if isinstance(text, Phrase) and language != "en":
        said = text.in_words_of(catalogue(language).gettext)
        return escape(plain(said)) if said != text else Markup('<span lang="en">{}</span>').format(plain(text))
    text = for_people(text)
    known = catalogue(language).gettext(text) if text else ""
    if not text or language == "en" or known != text:
        return escape(plain(known))
    head, colon, tail = text.partition(": ")
    parts = [catalogue(language).gettext(part) for part in (head, tail)]
    if colon and parts[1] != tail:
        return escape(plain(": ".join(parts)))
    return Markup('<span lang="en">{}</span>').format(plain(text))


def not_reached(language: str, reason: str) -> Markup:
    """Return where a text would not go, and why: what the catalogue lacks of that, by its kind."""
    why = reason.fields.get("why") if isinstance(reason, Phrase) else None
    if language == "en" or not isinstance(reason, Phrase) or not isinstance(why, str):
        return told(language, reason)
    gettext = catalogue(language).gettext
    known = why.in_words_of(gettext) if isinstance(why, Phrase) else gettext(why)
    if known == why:
        known = gettext(kind_of(State.CANCELLED.value, why).value or Kind.ASK.value)
    if (people := for_people(str(why))) != why:
        known = gettext(people)
    return escape(plain(f"{reason.fields['where']}: {known}"))


def costing(language: str, cost: Cost) -> str:
    """Return in words what a text would take."""
    words = catalogue(language)
    if not cost.airtime_ms:
        return ""
    if cost.packets > 1:
        count = words.ngettext("%(num)d radio packet", "%(num)d radio packets", cost.packets) % {"num": cost.packets}
        said = words.gettext("Too long for one radio packet: %(packets)s, %(seconds)s s of airtime")
        return said % {"packets": count, "seconds": _seconds(language, cost)}
    left = max(0, cost.bytes_left)
    count = words.ngettext("%(num)d byte left", "%(num)d bytes left", left) % {"num": left}
    return words.gettext("%(left)s, %(seconds)s s of airtime") % {"left": count, "seconds": _seconds(language, cost)}


def whispered(language: str, count: int) -> str:
    """Return how much somebody was told alone; empty: nothing."""
    words = catalogue(language).ngettext("%(num)d new line for you alone", "%(num)d new lines for you alone", count)
    return words % {"num": count} if count else ""


def lapsed(language: str) -> str:
    """Return what somebody is told whom this box doesn't know any more."""
    return html(language, "lapsed_words.html").strip()


def line_html(language: str, asked: str, line: Line, quoted: Quoted | None) -> str:
    """Return one line's element: the same for everybody who reads this language."""
    return html(language, "line.html", line=line, quoted=quoted, asked=asked, place="")


def answer(request: Request, text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a page as a response, compressed where that is worth it."""
    content = text.encode()
    if len(content) < _PACK_FROM_BYTES:
        response = Response(content, media_type=_HTML, headers=headers)
    else:
        response = packed(request, content, gzip.compress(content, 5, mtime=0), _HTML, dict(headers or {}))
    response.status_code = status
    return response


def _seconds(language: str, cost: Cost) -> str:
    said = f"{cost.airtime_ms / 1000:.1f}"
    return said if language == "en" else said.replace(".", ",")  # as all of the other four write it
