# SPDX-License-Identifier: GPL-3.0-or-later
"""Words for people that can still be said in another language: a text that knows what it was made of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class Phrase(str):
    """An English text like any other, with the original that catalogues have and what was put into it."""

    __slots__ = ("fields", "original")

    original: str
    fields: Mapping[str, str | int]

    def in_words_of(self, gettext: Callable[[str], str]) -> str:
        """Return it in another language; what was put into it too, where that is a phrase itself."""
        fields = {name: _in(gettext, value) for name, value in self.fields.items()}
        return gettext(self.original) % fields


def phrase(original: str, /, **fields: str | int) -> Phrase:
    """Return a phrase; `fields` go into its ``%(name)s`` places. `original` is a literal: catalogues are made of it."""
    made = Phrase(original % fields)
    made.original, made.fields = original, fields
    return made


def _in(gettext: Callable[[str], str], value: str | int) -> str | int:
    return value.in_words_of(gettext) if isinstance(value, Phrase) else value
