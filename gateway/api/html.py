# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes HTML with everything escaped unless it is HTML already. Pure."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from html import escape

_VOID = frozenset({"meta", "link", "br", "hr"})
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co"})


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that is safe to put into a page."""

    markup: str


Child = Html | str | int | None


def el(tag: str, *children: Child, **attributes: str | None) -> Html:
    """Return an element. Children are escaped unless they are Html; ``class_`` means ``class``."""
    given = [(name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items() if value is not None]
    opened = f"<{tag}" + "".join(f' {name}="{escape(visible(value))}"' for name, value in given) + ">"
    if tag in _VOID:
        return Html(opened)
    return Html(opened + "".join(_markup(child) for child in children) + f"</{tag}>")


def visible(text: str) -> str:
    """Replace characters that hide or reorder others, so that what is said is what is seen."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _hides(char) else char for char in text)


def page(title: str, *body: Child) -> str:
    """Return a whole page in our own style, which needs nothing from elsewhere."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("link", rel="stylesheet", href="/assets/crossband.css"),
    )
    return "<!doctype html>" + el("html", head, el("body", *body), lang="en").markup


def table(caption: str, heads: list[str], rows: list[list[Child]], *, empty: str) -> Html:
    """Return a table, or one line in words where there are no rows."""
    if not rows:
        return Html(el("h2", caption).markup + el("p", empty, class_="empty").markup)
    head = el("thead", el("tr", *(el("th", name, scope="col") for name in heads)))
    body = el("tbody", *(el("tr", *(el("td", cell) for cell in row)) for row in rows))
    whole = el("table", el("caption", caption, class_="hidden"), head, body)
    # What is wider than a phone scrolls: by keys too, so it takes the focus, and has a name then.
    scroll = el("div", whole, class_="scroll", tabindex="0", role="group", aria_label=caption)
    return Html(el("h2", caption).markup + scroll.markup)


def _markup(child: Child) -> str:
    if child is None:
        return ""
    return child.markup if isinstance(child, Html) else escape(visible(str(child)), quote=False)


def _hides(char: str) -> bool:
    return char not in "\n\t\N{ZERO WIDTH JOINER}" and unicodedata.category(char) in _INVISIBLE
