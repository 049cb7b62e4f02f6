# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nicknames there are at a page: such as people can tell apart, and nobody's who is trusted. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.model import Phrase, likeness, phrase, plain_name

MOST_NICK_CHARACTERS: Final = 24
_APART: Final = frozenset("@/~:")
"""What ids and addresses are put together with."""
_RESERVED: Final = (
    "admin",
    "administrator",
    "box",
    "broadcast",
    "crossband",
    "emergency",
    "everyone",
    "gateway",
    "matrix",
    "mod",
    "moderator",
    "operator",
    "radio",
    "root",
    "server",
    "sysop",
    "system",
)
_LOOKS_RESERVED: Final = frozenset(map(likeness, _RESERVED))


def why_malformed(nick: str) -> Phrase | None:
    """Return why nobody can be called this, in words; None if somebody can."""
    name = plain_name(nick)
    if not name or name != nick.strip() or len(name) > MOST_NICK_CHARACTERS:
        return phrase("a nickname has 1 to %(num)d characters that can be seen", num=MOST_NICK_CHARACTERS)
    if not _APART.isdisjoint(name) or len(name.split()) > 1:
        return phrase("a nickname has no spaces, and none of @ / ~ :")
    return None if likeness(name) else phrase("a nickname has a letter or a digit")


def is_reserved(nick: str, names: Iterable[str]) -> bool:
    """Whether it looks like one of these (boxes, who runs them), or a word for them; with digits behind, too."""
    looks = {likeness(nick), likeness(nick.rstrip("0123456789"))}
    return not looks.isdisjoint(_LOOKS_RESERVED) or any(likeness(name) in looks for name in names)


def own_part(ident: str) -> str:
    """Return what people take for the name in an id: ``operator`` of ``@operator:example.org``."""
    return ident.lstrip("@!~").partition(":")[0].partition("@")[0]


def looks_like(nick: str, names: Iterable[str]) -> bool:
    """Whether people would take it for one of these."""
    look = likeness(nick)
    return any(likeness(name) == look for name in names)
