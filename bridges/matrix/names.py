# SPDX-License-Identifier: GPL-3.0-or-later
"""Under which name somebody goes on air: short, told apart where two would be the same, no phone number. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterable

from bridges.matrix.plain import cut

ON_AIR_BYTES = 12
"""UTF-8 bytes that a name may have where words begin with it: `Capabilities.max_name_bytes` of a radio."""
MARK_CHARS = 4
"""Letters of a user's id that are put behind a name which two people have."""

_JOINERS = "\u200c\u200d"
_APART = rf"[\s\-./()\u2010-\u2015\u00b7{_JOINERS}]{{0,3}}"
_INTERNATIONAL = re.compile(rf"[+\uff0b](?:{_APART}\d){{7,20}}")
_NATIONAL = re.compile(rf"\d(?:{_APART}\d){{8,20}}")
_NETWORK = re.compile(r"\s*\([^()]{1,20}\)$")
_COLONS = dict.fromkeys(map(ord, ":\u02d0\u05c3\u2236\ua789\ufe13\ufe55\uff1a"), " ")
"""A colon, and what looks like one on a small screen: what stands before the first is who speaks."""
_LIKE_MARKED = re.compile(r"/[^\s/]{1,4}$")
_MODIFIERS = ("\U0001f3fb", "\U0001f3ff")


def masked(name: str) -> str:
    """Return the name with phone numbers shortened to their first and last two digits.

    Other bridges name people after their numbers (``+41 79 123 45 67 (WA)``, ``@whatsapp_41791234567``): their
    owners gave them to one network, not to everyone in range of a radio. ``+`` and 7 digits, or 9 digits, are one.
    """
    shorter = _NATIONAL.sub(_mask, _INTERNATIONAL.sub(_mask, name))
    return name if shorter == name else _NETWORK.sub("", shorter)


def shortened(name: str, max_bytes: int = ON_AIR_BYTES) -> str:
    """Return the beginning of a name that fits, without half of what people see as one character."""
    head = cut(name, max_bytes)
    while head and len(head) < len(name) and (_continues(name[len(head)]) or head[-1] in _JOINERS):
        head = head[:-1]
    return (head or cut(name, max_bytes)).strip()


def of_their_own(name: str) -> str:
    """Return the name without what only we put to names on air: a colon, and letters behind a stroke at the end."""
    said = " ".join(name.translate(_COLONS).split()) or name
    return said.replace("/", "-") if _LIKE_MARKED.search(shortened(said)) else said


def look_on_air(name: str) -> str:
    """Return what two names have in common that are the same on air: compatibility forms, case and joiners aside.

    Less than `gateway.model.likeness`, and of the beginning that fits on air alone: who shares it with another has
    letters put behind their name, which costs bytes in each message; nobody is refused a name by it.
    """
    folded = unicodedata.normalize("NFKC", shortened(of_their_own(name))).casefold()
    return "".join(char for char in folded if char not in _JOINERS)


def told_apart(user_id: str, name: str, alike: Iterable[str]) -> str:
    """Return the name, with letters of the user's id behind it if others have one that is the same on air.

    `alike`: the ids of those others, in any order. Each of them gets letters of the same kind: of the localparts
    if no two have the same ones, else of the servers, else of a hash. At most `ON_AIR_BYTES` where letters are added.
    """
    everyone = {user_id, *alike}
    if len(everyone) == 1:
        return name
    for letters in (_localpart, _server):
        marks = {letters(user) for user in everyone}
        if len(marks) == len(everyone) and "" not in marks and look_on_air(name) not in marks:
            return _marked(name, letters(user_id))
    return _marked(name, _hash(user_id))


def _marked(name: str, mark: str) -> str:
    return f"{shortened(name, ON_AIR_BYTES - len(mark.encode()) - 1)}/{mark}"


def _mask(number: re.Match[str]) -> str:
    digits = [char for char in number[0] if char.isdigit()]
    sign = "+" if number[0][0] in "+\uff0b" else ""
    return f"{sign}{''.join(digits[:2])}\u2026{''.join(digits[-2:])}"


def _letters(text: str) -> str:
    return "".join(char for char in text.lower() if char.isascii() and char.isalnum())[:MARK_CHARS]


def _localpart(user_id: str) -> str:
    return _letters(masked(user_id[1:].partition(":")[0]))


def _server(user_id: str) -> str:
    return _letters(user_id.partition(":")[2])


def _hash(user_id: str) -> str:
    digest = hashlib.blake2s(user_id.encode("utf-8", "replace"), digest_size=5).digest()
    return base64.b32encode(digest).decode().lower()[:MARK_CHARS]


def _continues(char: str) -> bool:
    is_mark = unicodedata.category(char) in ("Mn", "Me", "Mc")
    return is_mark or char in _JOINERS or _MODIFIERS[0] <= char <= _MODIFIERS[1]
