# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands around a room's lines and changes while the page is open: its notice, who is here, an answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable

from bridges.lan.hall import Hall, Person
from bridges.lan.page.languages import catalogue
from bridges.lan.page.rendering import told

AGAIN_S = 15.0
"""How old it may be at a page that is open."""

Look = Callable[[], dict[str, str]]


def around(hall: Hall, room: str, person: Person | None, language: str) -> dict[str, str]:
    """Return it in words."""
    own = () if person is None else (hall.own_room(person),)
    notice = next((one.notice for one in (*hall.rooms(), *own) if one.name == room), "")
    standing = "" if person is None else hall.standing(person)
    count = len(hall.people(room))
    words = catalogue(language).ngettext("%(num)d person at this page", "%(num)d people at this page", count)
    return {
        "notice": told(language, notice).striptags(),
        "standing": told(language, standing).striptags(),
        "count": words % {"num": count},
    }


class Around:
    """What one reader was told of it."""

    def __init__(self, look: Look, *, is_known: bool, now_s: float) -> None:
        """`is_known`: the reader's page was written just now, and says it."""
        self._look = look
        self._known = look() if is_known else None
        self._at_s = now_s

    def changed(self, now_s: float) -> bytes:
        """Return the event that tells what is otherwise now; empty: nothing, or it was looked a moment ago."""
        if self._known is not None and now_s - self._at_s < AGAIN_S:
            return b""
        self._at_s, before, self._known = now_s, self._known, self._look()
        return b"" if before == self._known else f"event: around\ndata: {json.dumps(self._known)}\n\n".encode()
