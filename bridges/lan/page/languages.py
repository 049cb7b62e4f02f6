# SPDX-License-Identifier: GPL-3.0-or-later
"""Which language somebody reads, and the catalogue for it."""

from __future__ import annotations

import gettext
from functools import cache
from importlib.resources import files

from bridges.lan.page import po

LANGUAGES = {"en": "English", "de": "Deutsch", "es": "Español", "fr": "Français", "uk": "Українська"}
"""By their own names. The page is written in the first."""
DEFAULT = "en"


def chosen(accept_language: str, asked: str = "") -> str:
    """Return a language we have: the one asked for, else the best the browser accepts, else `DEFAULT`."""
    if asked in LANGUAGES:
        return asked
    weighed = [_weighed(part) for part in accept_language.split(",")[:20]]
    ours = [(weight, language) for weight, language in weighed if language in LANGUAGES and weight > 0]
    return max(ours, key=lambda pair: pair[0])[1] if ours else DEFAULT  # the first one, among equals


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """Return what translates into one of `LANGUAGES`."""
    if language == DEFAULT:
        return gettext.NullTranslations()
    return po.translations((files(__package__) / "locale" / f"{language}.po").read_text(encoding="utf-8"))


def _weighed(part: str) -> tuple[float, str]:
    tag, _, parameter = part.strip().partition(";")
    try:
        weight = float(parameter.strip().removeprefix("q=") or 1)
    except ValueError:
        weight = 0.0
    return weight, tag.strip().partition("-")[0].lower()
