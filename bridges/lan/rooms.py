# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms of this box's routes: which there are, whom a line there reaches, and what everybody should know first."""

from __future__ import annotations

from collections.abc import Sequence

from bridges.lan.hall import Room
from bridges.lan.page_rules import PageRules
from bridges.lan.places import is_direct, other_in
from gateway.model import Address, BridgeContext, Declined, RoutedConversation, phrase


class Rooms:
    """The rooms of one box; direct chats are none."""

    def __init__(self, context: BridgeContext, rules: PageRules) -> None:
        self._context = context
        self._rules = rules
        self._conversations = context.conversations

    def all(self) -> Sequence[Room]:
        """Return them in the order of the routes."""
        names = dict.fromkeys(one.name for one in self._conversations if not is_direct(one.name))
        return [Room(name=name, members=self._members(name), notice=self._notice(name)) for name in names]

    def __contains__(self, name: str) -> bool:
        """Whether there is a room of this name."""
        return not is_direct(name) and any(one.name == name for one in self._conversations)

    def chats(self) -> Sequence[str]:
        """Return the chats of people at pages with radio nodes that are joined here."""
        return [one.name for one in self._conversations if other_in(one.name)]

    def reroute(self, conversations: tuple[RoutedConversation, ...]) -> Sequence[str]:
        """Have these from now on; return those that are new."""
        before, self._conversations = {one.name for one in self._conversations}, conversations
        return [one.name for one in conversations if one.name not in before]

    def _notice(self, room: str) -> str:
        slow, silence = self._rules.notice(room), self._context.silenced()
        if not silence or not any(one.exposed_to for one in self._conversations if one.name == room):
            return slow or ""
        told = phrase("%(silence)s: what is said here does not go on radio", silence=silence)
        return told if slow is None else phrase("%(first)s; %(second)s", first=told, second=slow)

    def _members(self, room: str) -> Sequence[str]:
        here = Address(self._context.name, room)
        try:
            joined = self._context.desk.joined(here)
        except Declined:
            joined = ()
        ends = [str(end) for one in joined for end in one.ends if end != here]
        exposed = (str(to) for one in self._conversations if one.name == room for to in one.exposed_to)
        return tuple(dict.fromkeys([*ends, *exposed]))
