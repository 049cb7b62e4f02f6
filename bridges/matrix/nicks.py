# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that people chose for the air with ``!mesh nick``: kept in a file, bounded."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

from bridges.matrix.login import read_kept, write_secret
from bridges.matrix.names import ON_AIR_BYTES, look_on_air, masked
from bridges.matrix.plain import one_line, valid_id
from bridges.matrix.wire import mapping
from gateway.model import Declined

MOST_NICKS = 2_000
"""People with a name of their own; past it nobody new gets one."""


class Nicks:
    """One name a user, no two users alike; survives restarts. Written at once and atomically."""

    def __init__(self, file: Path, *, taken: Callable[[str], Iterable[str]] = lambda _: ()) -> None:
        """`taken`: the names of everybody else in the rooms a user is in."""
        self._file = file
        self._taken = taken
        self._nicks: OrderedDict[str, str] | None = None
        self._alike: dict[str, str] = {}

    def holder(self, name: str) -> str:
        """Return who goes by a name that is the same on air; empty if nobody does."""
        return self._alike.get(look_on_air(name), "") if self._known() else ""

    def of(self, user_id: str) -> str:
        """Return the name the user chose; empty if none."""
        return self._known().get(user_id, "")

    def set(self, user_id: str, name: str) -> str:
        """Let the user go by this name on air from now on, or by their own again if it is empty; say so.

        Declined, with the reason, if it is too long, somebody else's, no name, or can't be kept.
        """
        nick = one_line(name)
        if not nick:
            return self._drop(user_id)
        self._check(user_id, nick)
        self._keep(OrderedDict(self._known()) | {user_id: nick})
        return f"On air you are {nick} from now on."

    def _drop(self, user_id: str) -> str:
        nicks = OrderedDict(self._known())
        if nicks.pop(user_id, None) is None:
            return "On air you go by your own name."
        self._keep(nicks)
        return "On air you go by your own name again."

    def _check(self, user_id: str, nick: str) -> None:
        if len(nick.encode()) > ON_AIR_BYTES:
            raise Declined(f"{nick} is longer than the {ON_AIR_BYTES} bytes a name has on air")
        if ":" in nick or not any(char.isalnum() for char in nick):
            raise Declined("a name has a letter or a digit, and no colon")
        if masked(nick) != nick:
            raise Declined("a phone number is no name for the air")
        if self.holder(nick) not in ("", user_id) or look_on_air(nick) in map(look_on_air, self._taken(user_id)):
            raise Declined(f"somebody else is {nick} already")
        if user_id not in self._known() and len(self._known()) >= MOST_NICKS:
            raise Declined("no more names can be kept here")

    def _known(self) -> OrderedDict[str, str]:
        if self._nicks is None:
            self._nicks = self._read()
            self._alike = {look_on_air(nick): user for user, nick in self._nicks.items()}
        return self._nicks

    def _read(self) -> OrderedDict[str, str]:
        kept = mapping(read_kept(self._file).get("nicks"))
        good = ((user, one_line(nick)) for user, nick in kept.items() if valid_id(user, "@") and isinstance(nick, str))
        return OrderedDict([(user, nick) for user, nick in good if nick][:MOST_NICKS])

    def _keep(self, nicks: OrderedDict[str, str]) -> None:
        try:
            write_secret(self._file, json.dumps({"nicks": nicks}))
        except OSError as error:
            raise Declined(f"names can't be kept now: {error.strerror}") from error
        self._nicks = nicks
        self._alike = {look_on_air(nick): user for user, nick in nicks.items()}
