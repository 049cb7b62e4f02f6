# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is spoken to: links and ids of people as plain names, and names in plain words as ids. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from urllib.parse import unquote

from bridges.matrix.plain import one_line, valid_id

MOST_NAMED = 10
"""People one text may speak to; who writes more names pings nobody with the rest."""

_TO = r"(?:https?://matrix\.to/#/|matrix:)"
_TARGET = r"[^\s()<>\[\]\"']{1,600}"
_LABELLED = re.compile(rf"\[([^\[\]\n]{{0,255}})\]\(<?({_TO}{_TARGET})>?(?: \"[^\"\n]{{0,255}}\")?\)", re.IGNORECASE)
_BARE = re.compile(rf"<?(?<![\w/.@:-])({_TO}{_TARGET})>?", re.IGNORECASE)
_SERVER = r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}(?::\d{1,5})?"
_USER = re.compile(rf"(?<![\w/@.=+-])@[A-Za-z0-9._=/+-]{{1,255}}:{_SERVER}(?!\w)")
_SCHEME = re.compile(rf"{_TO}", re.IGNORECASE)
_URI_KINDS = {"u": "@", "r": "#", "roomid": "!"}
_AFTER_A_LINK = ".,;:!?"


def plain(text: str, name_of: Callable[[str], str], mentioned: Collection[str] = ()) -> str:
    """Return the text with people's links and ids as their names, and rooms' links as their aliases.

    `name_of` gives a user's name in this room, or nothing; then a link's own words stand, or the localpart.
    An id in the words of somebody who is neither known nor `mentioned` is left as it is: it was written to be read.
    """
    if "matrix" in text.lower():  # two passes over a whole text are for those that can have a link
        text = _LABELLED.sub(partial(_labelled, name_of), text)
        text = _BARE.sub(partial(_bare, name_of), text)
    if "@" not in text:
        return text
    return _USER.sub(partial(_user, name_of, mentioned), text)


def named_in(text: str, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ids of those whom the text speaks to as ``@name``, by exactly the names given.

    `names`: ids by name, of one room, without such as more than one person has. The longest name counts.
    """
    lengths = sorted({len(name) for name in names if name}, reverse=True)
    found: dict[str, None] = {}
    for at in re.finditer(r"(?<!\w)@", text):
        candidates = (text[at.end() : at.end() + length] for length in lengths)
        name = next((one for one in candidates if one in names and _ends(text, at.end() + len(one))), None)
        if name is not None:
            found[names[name]] = None
        if len(found) == MOST_NAMED:
            break
    return tuple(found)


def _ends(text: str, index: int) -> bool:
    return index >= len(text) or not (text[index].isalnum() or text[index] == "_")


def _labelled(name_of: Callable[[str], str], link: re.Match[str]) -> str:
    return _spoken(link[2], name_of, link[1].strip()) or link[0]


def _bare(name_of: Callable[[str], str], link: re.Match[str]) -> str:
    target = link[1].rstrip(_AFTER_A_LINK)
    spoken = _spoken(target, name_of, "")
    return spoken + link[1][len(target) :] if spoken else link[0]


def _spoken(link: str, name_of: Callable[[str], str], label: str) -> str | None:
    """Return what to say in place of a link; None if it leads to nothing that has a name."""
    target = _identifier(link)
    if (user_id := valid_id(target, "@")) is not None and ":" in user_id:
        # Their name here before the link's words: who writes those can write anybody's.
        return _name(user_id, name_of) or one_line(label) or user_id[1:].partition(":")[0]
    if target.startswith("#") and ":" in target:
        return one_line(target)
    return None


def _identifier(link: str) -> str:
    rest = _SCHEME.sub("", link, count=1)
    if not link.lower().startswith("matrix:"):
        return unquote(rest.partition("?")[0].partition("/")[0])
    kind, _, rest = rest.partition("?")[0].partition("/")
    name = unquote(rest.partition("/")[0])
    return f"{_URI_KINDS[kind]}{name}" if kind in _URI_KINDS and name else ""


def _user(name_of: Callable[[str], str], mentioned: Collection[str], found: re.Match[str]) -> str:
    user_id = found[0]
    name = _name(user_id, name_of)
    if name:
        return name
    return user_id[1:].partition(":")[0] if user_id in mentioned else user_id


def _name(user_id: str, name_of: Callable[[str], str]) -> str:
    return one_line(name_of(user_id))
